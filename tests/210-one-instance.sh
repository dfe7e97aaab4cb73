#!/bin/sh
# A second instance of the same name is refused with 78 and disturbs nothing; a board that a crash
# left is taken over.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 20 >"$TMP/in"
start_spanbufd --timeout 2 --root-timeout 1
first=$DAEMON
wait_until 20 board_says 'd["health"]' healthy
start_spanbufd
ended 78
grep -q "$INSTANCE" "$TMP/log" || fail "the log does not name the instance"
DAEMON=$first
produce "$IN" <"$TMP/in"
wait_until 40 all_out "$TMP/in"
kill -KILL "$DAEMON"
wait_until 5 gone "$DAEMON"
[ -e "/dev/shm/spanbufd.$INSTANCE" ] || fail "a crash left no board: this tests nothing"
start_spanbufd --timeout 2 --root-timeout 1
wait_until 20 board_says 'd["health"]' healthy
stop_spanbufd
check "$TMP/in"
