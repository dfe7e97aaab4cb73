#!/bin/sh
# Help, manual page and example file have the same options as the table, with its defaults.
. "$(dirname "$0")/lib/common.sh"

root=$(dirname "$0")/..
page=$root/man/spanbufd.conf.5
example=$root/packaging/spanbufd.conf

# name TAB unit TAB default TAB range TAB change, "none" for nothing.
"$SPANBUFD" check --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    print("\t".join(row[key] or "none" for key in ("name", "unit", "default", "range", "change")))
' >"$TMP/table"
[ "$(wc -l <"$TMP/table")" -gt 30 ] || fail "table is short: $(cat "$TMP/table")"

awk -v OFS='\t' '
    /^\.It Ic / { name = $3; default_ = range = unit = "none" }
    /^\.It Ic / && $6 ~ /^(bytes|seconds|milliseconds)$/ { unit = $6 }
    name && /^Default: / { default_ = substr($0, 10, length($0) - 10) }
    name && /^Range: / { range = substr($0, 8, length($0) - 8) }
    name && /^Change: / {
        print name, unit, default_, range, substr($0, 9, length($0) - 9)
        name = ""
    }
' "$page" >"$TMP/page"

sed -n 's/^#\([a-z-]*\) =/\1 =/p' "$example" >"$TMP/uncommented"
awk -v OFS='\t' '{ print $1, $3 == "" ? "none" : $3 }' "$TMP/uncommented" >"$TMP/example"

sort "$TMP/table" >"$TMP/table.sorted"
sort "$TMP/page" | diff -u "$TMP/table.sorted" - || fail 'spanbufd.conf(5) differs from the table'
cut -f 1,3 "$TMP/table.sorted" >"$TMP/defaults"
sort "$TMP/example" | diff -u "$TMP/defaults" - || fail 'the example differs from the table'

cut -f 1 "$TMP/table.sorted" >"$TMP/names"
for command in '' run check; do
    # shellcheck disable=SC2086 # nothing, or one word
    "$SPANBUFD" $command --help >"$TMP/help"
    grep -o -- '--[a-z-]*' "$TMP/help" | sed 's/^--//' | sort -u >"$TMP/flags"
    comm -23 "$TMP/names" "$TMP/flags" >"$TMP/missing"
    [ ! -s "$TMP/missing" ] || fail "'$command --help' lacks: $(cat "$TMP/missing")"
done

# The example is valid as it is, and with every line in force, and then changes nothing.
"$SPANBUFD" check --config "$example" >"$TMP/out"
[ "$(grep -vc '# default$' "$TMP/out")" -eq 0 ] || fail "sets something: $(cat "$TMP/out")"
"$SPANBUFD" check >"$TMP/plain"
"$SPANBUFD" check --config "$TMP/uncommented" >"$TMP/full"
for file in plain full; do
    sed 's/ *#.*//' "$TMP/$file" >"$TMP/$file.values"
done
diff -u "$TMP/plain.values" "$TMP/full.values" || fail 'the example changes a default'
