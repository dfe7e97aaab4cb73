#!/bin/sh
# The house rules: who may name whom, what every file and page must have.
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT" || fail "no $ROOT"

bad=0
complain() { echo "$1" >&2; bad=1; }

# forbid PATTERN WHY FILES…: no line of the files may match.
forbid() {
    pattern=$1 why=$2
    shift 2
    [ $# -gt 0 ] || fail "no files for: $why"
    if grep -nE "$pattern" "$@" >&2; then complain "$why"; fi
}

# All Rust files of the rooms.
rooms() { for room in "$@"; do find "src/$room" "src/$room.rs" -name '*.rs' 2>/dev/null; done; }
# All Rust files but those of the rooms.
others() {
    find src -name '*.rs' | grep -vE "^src/($(echo "$*" | tr ' ' '|'))(/|\.rs)"
}

# shellcheck disable=SC2046
{
    forbid '\bunsafe (\{|fn|impl)|\blibc::|extern "' "unsafe, libc and extern belong into src/sys" \
        $(others sys)
    forbid '\bredis::(cmd|Client|Connection|Value|ServerError|RedisError|IntoConn)' \
        "the redis crate is named by src/store/redis/link" \
        $(find src -name '*.rs' | grep -v store/redis/link)
    forbid '\brdkafka::' "rdkafka is named in src/kafka, and where its wrapper falls short" \
        $(others kafka | grep -vE 'sys/(metadata|headers|commit|ends|send|properties)\.rs')
    forbid 'signal_hook::' "signal-hook is named by src/sys/signal.rs" \
        $(find src -name '*.rs' | grep -v sys/signal.rs)
    forbid '\bgetopts::' "getopts belongs into config and command" $(others config command)
    forbid '\bSystemTime\b' "timers run on the monotonic clock; sys/time.rs has the other one" \
        $(find src -name '*.rs' | grep -v sys/time.rs)
    forbid 'wall_ms' "the supervisor takes no decision by the wall clock" \
        $(find src/supervisor -name '*.rs' | grep -v supervisor/mod.rs)
    forbid 'env_logger::' "env_logger is named by src/command/log.rs" \
        $(find src -name '*.rs' | grep -v command/log.rs)

    room() { printf 'crate::(%s)\\b' "$1"; }
    forbid "$(room 'command|config|kafka|store|worker|board|supervisor|segment')" \
        "sys names error only" $(rooms sys)
    forbid "$(room 'command|config|kafka|store|worker|board|supervisor|sys')" \
        "segment names error only: it is pure" $(rooms segment)
    forbid "$(room 'command|kafka|store|worker|supervisor|config')" \
        "board names sys, error and segment's words" $(rooms board)
    forbid "$(room 'command|kafka|worker|board|supervisor')" \
        "store names segment, config, error, sys" $(rooms store)
    forbid "$(room 'command|store|worker|board|supervisor')" \
        "kafka names segment, config, error" $(rooms kafka)
    forbid "$(room 'command|supervisor')" "worker names neither command nor supervisor" \
        $(rooms worker)
    forbid "$(room 'command|config|segment|store|kafka|worker')" \
        "the supervisor cannot spell a client (P1)" $(rooms supervisor)
    forbid "$(room 'command|worker|supervisor|board|store|kafka')" \
        "config names segment's choices, sys and error" $(rooms config)
}

for file in $(git ls-files '*.rs'); do
    head -n 1 "$file" | grep -q '^//! ' || complain "$file: no head comment"
done
for file in $(git ls-files 'src/**/*.lua'); do
    head -n 1 "$file" | grep -q '^-- ' || complain "$file: no head comment"
done
for file in $(git ls-files 'tests/*.sh' 'packaging/*.sh' | grep -v tests/lib/); do
    sed -n 2p "$file" | grep -q '^# ' || complain "$file: no sentence on line two"
done
for room in board command config kafka segment store supervisor worker; do
    grep -q '^#!\[forbid(unsafe_code)\]' "src/$room/mod.rs" || complain "src/$room may be unsafe"
done

# The corpora of the fuzz targets are bytes, not text.
text=$(git ls-files src tests packaging man '*.md' .ci ':!tests/fuzz/corpus')
# shellcheck disable=SC2086
forbid '[[:blank:]]$' "trailing blanks" $text
# shellcheck disable=SC2046
forbid 'TODO([^(]|$)|todo!\(|unimplemented!' unfinished $(echo "$text" | grep -v 000-tidy)
too_long='import sys
for name in sys.argv[1:]:
    long = sum(len(line.rstrip("\n")) > 100 for line in open(name, encoding="utf-8"))
    if long: print(f"{name}: {long} lines are longer than 100")'
git ls-files -z src tests packaging .ci ':!tests/fuzz/corpus' |
    xargs -0 python3 -c "$too_long" >"$TMP/long"
[ ! -s "$TMP/long" ] || complain "$(cat "$TMP/long")"
for file in $(git ls-files '*.rs'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 550 ] || complain "$file: $lines lines"
done

twice=$(git ls-files 'tests/[0-9][0-9][0-9]-*.sh' | cut -c 7-9 | uniq -d | tr '\n' ' ')
[ -z "$twice" ] || complain "tests share the numbers $twice"

for promise in P1 P2 P3 P4 P5 P6 P7 P8; do
    grep -q "^.It $promise$" man/spanbufd-design.7 ||
        complain "$promise is not in spanbufd-design(7)"
    grep -rq "$promise\b" src || complain "$promise is not cited where it is kept"
done
grep -oE '^    [A-Z][A-Za-z]+ "[a-z_]+" "' src/board/words.rs | cut -d '"' -f 2 |
    while read -r word; do
        grep -q "^.It Ql $word$" man/spanbufd-design.7 || echo "$word"
    done >"$TMP/words"
[ ! -s "$TMP/words" ] || complain "not in spanbufd-design(7): $(tr '\n' ' ' <"$TMP/words")"
grep -oE 'row\("[a-z-]+"' src/config/table.rs | cut -d '"' -f 2 | while read -r option; do
    grep -q "^.It .*$option" man/spanbufd.conf.5 || echo "$option"
done >"$TMP/options"
[ ! -s "$TMP/options" ] || complain "not in spanbufd.conf(5): $(tr '\n' ' ' <"$TMP/options")"
for status in 0 64 70 75 78; do
    grep -q "^.It $status$" man/spanbufd.8 || complain "status $status is not in spanbufd(8)"
done
for command in $("$SPANBUFD" --help | sed -n '/^Commands:/,/^$/s/^    \([a-z]*\) .*/\1/p'); do
    grep -q "^.It Cm $command$" man/spanbufd.8 || complain "$command is not in spanbufd(8)"
done

[ "$bad" -eq 0 ] || fail "the house is not tidy"
