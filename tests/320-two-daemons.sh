#!/bin/sh
# Two daemons share a group; one is killed with -9, the other takes over; nothing is lost. A third
# one with nothing to do idles.
# kafka: both
# timeout: 180
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
GROUP=$ID NAMESPACE=$ID
options="--timeout 12 --root-timeout 8"
[ "$TEST_KAFKA" = mock ] || options="$options --kafka-consumer session.timeout.ms=3000
    --kafka-consumer heartbeat.interval.ms=500"
# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options && one=$DAEMON
wait_until 30 board_says 'len(s)' 2
# shellcheck disable=SC2086
INSTANCE=two-$ID && start_spanbufd $options && two=$DAEMON
wait_until 40 board_says 'len(s)' 1
# shellcheck disable=SC2086
INSTANCE=three-$ID && start_spanbufd $options
wait_until 20 board_says 'd["health"], len(s)' "('healthy', 0)"
stop_spanbufd
generate --traces 300 --seed 23 >"$TMP/in"
split -n l/3 "$TMP/in" "$TMP/part."
produce "$IN" <"$TMP/part.aa" >/dev/null
kill -KILL "$one"
rm -f "/dev/shm/spanbufd.one-$ID"
produce "$IN" <"$TMP/part.ab" >/dev/null
INSTANCE=two-$ID DAEMON=$two
wait_until 60 board_says 'len(s)' 2
produce "$IN" <"$TMP/part.ac" >/dev/null
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
