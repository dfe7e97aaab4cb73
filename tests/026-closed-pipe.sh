#!/bin/sh
# A reader that goes away is no error; a disk that is full is one.
. "$(dirname "$0")/lib/common.sh"

# The reader is gone before the first byte: nobody reads the fifo any more.
mkfifo "$TMP/fifo"
: <"$TMP/fifo" &
reader=$!
exec 3>"$TMP/fifo"
wait "$reader"
for arguments in --help 'check' 'check --json' 'check --help'; do
    # shellcheck disable=SC2086 # words
    "$SPANBUFD" $arguments >&3 2>"$TMP/err" || fail "$arguments: status $?: $(cat "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "$arguments: $(cat "$TMP/err")"
done

# Nor is it a panic when nobody takes the error either.
got=0
"$SPANBUFD" nonsense 2>&3 || got=$?
[ "$got" -eq 64 ] || fail "status $got, not 64, with nobody to take the error"
exec 3>&-

got=0
"$SPANBUFD" check >/dev/full 2>"$TMP/err" || got=$?
[ "$got" -eq 75 ] || fail "status $got, not 75, on a full disk"
grep -q 'cannot write standard output' "$TMP/err" || fail "$(cat "$TMP/err")"
