#!/bin/sh
# Commands, options, signals, statuses and variables of the code are those of the manual pages.
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT" || fail "no $ROOT"

# compare WHAT: the sorted words of $TMP/code and $TMP/page are the same.
compare() { diff -u "$TMP/code" "$TMP/page" || fail "$1: the code (-) and spanbufd(8) (+) differ"; }
section() { sed -n "/^\.Sh $1/,/^\.Sh /p" man/spanbufd.8; }

"$SPANBUFD" check --json | python3 -c '
import json, sys
print("config\nhelp", *{row["name"] for row in json.load(sys.stdin)}, sep="\n")' |
    sort >"$TMP/common"

# Options that are a command's own stand under the command in COMMANDS.
for command in $("$SPANBUFD" --help | sed -n '/^Commands:/,/^$/s/^    \([a-z-]*\) .*/\1/p'); do
    "$SPANBUFD" "$command" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z][a-z-]*' |
        grep -oE -- '[a-z][a-z-]{2,}' | sort -u >"$TMP/all"
    comm -23 "$TMP/all" "$TMP/common" >"$TMP/code"
    sed -n "/^\.Sh COMMANDS/,/^\.Sh /{/^\.It Cm $command\$/,/^\.It Cm \|^\.S[hs] [^C]/p}" \
        man/spanbufd.8 | grep -oE 'Fl Fl [a-z][a-z-]*' | cut -d ' ' -f 3 | sort -u |
        comm -23 - "$TMP/common" >"$TMP/page"
    compare "options of $command"
    # And the synopsis has the command.
    section SYNOPSIS | grep -qx "\.Cm $command" || fail "$command is not in the synopsis"
done

grep -oE '\bSIG(TERM|INT|HUP|USR1|USR2|QUIT|PIPE|WINCH|ALRM)\b' src/sys/signal.rs | sort -u \
    >"$TMP/code"
section SIGNALS | sed -n '/^\.It/p' | grep -oE '\bSIG[A-Z0-9]+\b' | sort -u >"$TMP/page"
compare signals

{
    echo 0
    sed -n 's/^    [A-Z][a-z]* = \([0-9]*\),$/\1/p' src/error.rs
    grep -rhoE '^(pub )?const [A-Z_]+: i32 = [0-9]+;' src/command | grep -oE '[0-9]+;' | tr -d ';'
} | sort -u >"$TMP/code"
section 'EXIT STATUS' | sed -n 's/^\.It \([0-9]*\)$/\1/p' | sort -u >"$TMP/page"
compare 'exit statuses'

# What is read from the environment: names in capitals in quotes, next to a look at it.
grep -rhE --exclude='*tests.rs' 'env::var|CREDENTIALS: |VARIABLES: ' src |
    grep -oE '"[A-Z][A-Z_]{4,}"' | tr -d '"' | sort -u >"$TMP/code"
section ENVIRONMENT | grep '^\.It Ev' | grep -oE '[A-Z_]{5,}' |
    grep -v '^SPANBUFD_' | sort -u >"$TMP/page"
compare variables

# librdkafka's properties that are set, but for names that are made of options, and those that are
# refused.
names='group.id|bootstrap.servers|client.id|group.instance.id'
grep -oE '^ +\("[a-z.]+", ' src/kafka/settings.rs | cut -d '"' -f 2 |
    grep -vxE "$names" | sort -u >"$TMP/code"
sed -n '/^\.Ss Client settings/,/^\.S[hs] [^C]/p' man/spanbufd.8 |
    sed -n 's/^\.Ql \([a-z.]*\).*/\1/p' | grep -vxE "$names" | sort -u >"$TMP/page"
compare 'client settings'
sed -n '/const OWNED/,/^];/s/^    ("\([a-z.]*\)".*/\1/p' src/config/property.rs | sort >"$TMP/code"
sed -n '/^Properties that/,/^\.Li .* \.$/s/^\.Li \([a-z.]*\).*/\1/p' man/spanbufd.conf.5 |
    sort >"$TMP/page"
compare 'properties that are refused'

# What `status` calls the states of workers, and then of shards; it shows no slot that is vacant.
nth=0
for values in WorkerState Paused; do
    nth=$((nth + 1))
    sed -n "/^    $values:\$/,/^}/s/^    [A-Z].* \"\(.*\)\";/\1/p" src/board/words.rs |
        grep -vx vacant | sort >"$TMP/code"
    sed -n '/^\.Ss Status/,/^\.Ss Client/p' man/spanbufd.8 |
        awk -v nth=$nth '/^\.(It|El)/ { here = /STATE$/; n += here } here && n == nth' |
        sed -n 's/^\.Ql \([A-Za-z ]*[a-z]\).*/\1/p' | sort >"$TMP/page"
    compare "values of $values"
done

# Files that the pages name are where the package and the program put them.
for path in /etc/spanbufd/spanbufd.conf /dev/shm/spanbufd.INSTANCE; do
    section FILES | grep -q "^\.It Pa $path" || fail "$path is not in FILES"
done
