#!/bin/sh
# A board of another version that is in use: status cannot tell, a second start is refused, and the
# daemon that has it goes on.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
start_spanbufd
first=$DAEMON
wait_until 30 board_says 'd["health"]' healthy
object=/dev/shm/spanbufd.$INSTANCE
# The second word is the version (spanbufd-design(7)).
version() { dd of="$object" bs=8 seek=1 count=1 conv=notrunc status=none; }
dd if="$object" of="$TMP/version" bs=8 skip=1 count=1 status=none
printf 'another!' | version

expect_status 3 "$SPANBUFD" status --instance "$INSTANCE"
grep -q 'another version' "$TMP/answer" || fail "status does not say why it cannot tell"
expect_status 3 "$SPANBUFD" status --instance "$INSTANCE" --json
expect_status 3 "$SPANBUFD" reload --instance "$INSTANCE"
grep -q 'another version' "$TMP/answer" || fail "reload does not say why it cannot tell"
start_spanbufd
ended 78
grep -q 'with another version of spanbufd' "$TMP/log" || fail "the start does not say why"

version <"$TMP/version"
DAEMON=$first
wait_until 10 board_says 'd["health"]' healthy
stop_spanbufd
