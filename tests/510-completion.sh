#!/bin/sh
# Completion offers exactly the commands, options and words that the program has.
# shellcheck shell=bash
[ -n "${BASH_VERSION:-}" ] || exec bash "$0"
. "$(dirname "$0")/lib/common.sh"

PATH=$(dirname "$SPANBUFD"):$PATH
. "$ROOT/packaging/completion/spanbufd"

# complete WORD…: what is offered for the last of the words.
offered() {
    COMP_WORDS=(spanbufd "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _spanbufd
    [ "${#COMPREPLY[@]}" -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}" | sort
}

# same FILE FILE WHAT
same() { diff -u "$1" "$2" || fail "$3"; }

"$SPANBUFD" --help | sed -n '/^Commands:/,/^$/s/^    \([a-z][a-z-]*\) .*/\1/p' >"$TMP/commands"
[ "$(wc -l <"$TMP/commands")" -gt 5 ] || fail "no commands in --help"
{ cat "$TMP/commands"; printf -- '--help\n--version\n'; } | sort >"$TMP/wanted"
offered '' >"$TMP/got"
same "$TMP/wanted" "$TMP/got" "commands"

# The options of a command, told by the parser itself: what it does not refuse as unknown.
"$SPANBUFD" check --json | python3 -c '
import json, sys
for name in sorted({row["name"] for row in json.load(sys.stdin)}): print("--" + name)' >"$TMP/table"
for command in run check; do
    offered "$command" -- | grep -vxE -- '--(config|help|json)' >"$TMP/got"
    same "$TMP/table" "$TMP/got" "options of $command"
done
while read -r command; do
    "$SPANBUFD" "$command" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z][a-z-]*' |
        grep -oE -- '--[a-z][a-z-]*' | sort -u >"$TMP/wanted"
    offered "$command" -- | sort -u >"$TMP/got"
    same "$TMP/wanted" "$TMP/got" "options of $command"
done <"$TMP/commands"

# Words, for every option that allows only some.
"$SPANBUFD" check --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if (row["range"] or "").startswith("one of "):
        print(row["name"], *sorted(row["range"][7:].split(", ")))' >"$TMP/choices"
[ -s "$TMP/choices" ] || fail "no option with words"
while read -r name words; do
    [ "$(offered run "--$name" '' | xargs)" = "$words" ] || fail "--$name: not $words"
done <"$TMP/choices"
[ "$(offered run --log-level war)" = warn ] || fail "a beginning is not completed"
