#!/bin/sh
# The demo on a pipe and on a terminal: all that goes in comes out, over several shards, and nothing
# is left behind, also not by Ctrl-C.
. "$(dirname "$0")/lib/common.sh"

mkdir "$TMP/own"
# What is set for a daemon of one's own does not reach the demo's.
export SPANBUFD_REDIS_PASSWORD_FILE="$TMP/none"
demo() { env TMPDIR="$TMP/own" "$SPANBUFD" demo "$@"; }

nobody_left() { ! grep -lz "^TMPDIR=$TMP/own\$" /proc/[0-9]*/environ 2>/dev/null; }
nothing_left() {
    [ -z "$(ls -A "$TMP/own")" ] || { ls -A "$TMP/own"; return 1; }
    ! ls /dev/shm/spanbufd.demo-* 2>/dev/null || return 1
    nobody_left
}
expect() { grep -Eq -- "$1" "$2" || { cat "$2"; fail "no '$1' in what it printed"; }; }

demo --duration 2 | cat >"$TMP/pipe"
expect '^ *[0-9]+ s  spans in [1-9][0-9]*, buffered [0-9]+, spans out' "$TMP/pipe"
expect '^lost 0, doubled 0$' "$TMP/pipe"
expect '^time past deadline: p50 <= [0-9]+ ms, p99 <= [0-9]+ ms$' "$TMP/pipe"
expect '^segment [0-9a-f]{16} of trace [0-9a-f]{32}: [0-9]+ spans$' "$TMP/pipe"
expect '└─' "$TMP/pipe"
! grep -q "$(printf '\033')" "$TMP/pipe" || fail "it draws on a pipe"
counts=$(sed -n 's/^spans in \([0-9]*\), spans out \([0-9]*\),.*/\1 \2/p' "$TMP/pipe")
[ "${counts% *}" = "${counts#* }" ] || fail "not as many out as in: $counts"
[ "${counts% *}" -gt 100 ] || fail "few spans: $counts"
nothing_left || fail "something is left"

# On a terminal it draws, a line per worker and per shard; Ctrl-C is typed there.
mkfifo "$TMP/keys"
redrawn=$(printf '\033')'\[[0-9]+A'
status=0
TMPDIR=$TMP/own script -qefc "$SPANBUFD demo --duration 600" "$TMP/tty" \
    <"$TMP/keys" >/dev/null 2>&1 &
script=$!
started $script
exec 8>"$TMP/keys"
drawn() {
    grep -Eq '^3 .*flusher/1 .*[1-9]' "$TMP/tty" && grep -q '^flusher/1' "$TMP/tty" &&
        grep -Eq "$redrawn" "$TMP/tty"
}
wait_until 40 drawn
printf '\003' >&8
wait_until 20 gone $script
exec 8>&-
wait $script || status=$?
[ "$status" -eq 0 ] || { tail -n 5 "$TMP/tty"; fail "Ctrl-C ended it with status $status"; }
expect 'interrupted: still buffered [0-9]+, doubled 0' "$TMP/tty"
nothing_left || fail "something is left after Ctrl-C"

# Who is killed cannot stop them.
TMPDIR=$TMP/own "$SPANBUFD" demo --duration 600 >"$TMP/killed" &
demo=$!
started $demo
wait_until 40 grep -q 'spans in [1-9]' "$TMP/killed"
kill -KILL $demo
wait_until 10 nobody_left
rm -f "/dev/shm/spanbufd.demo-$demo"
