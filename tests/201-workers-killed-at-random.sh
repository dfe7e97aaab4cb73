#!/bin/sh
# Workers killed at random under load: every span is delivered.
# kafka: both
# timeout: 180
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 1500 --seed 13 >"$TMP/in"
[ "$TEST_KAFKA" = mock ] || session="--kafka-consumer session.timeout.ms=3000
    --kafka-consumer heartbeat.interval.ms=500"
# shellcheck disable=SC2086
start_spanbufd ${session:-} --flusher-processes 2 --timeout 12 --root-timeout 8 --max-restarts 1000
split -n l/12 "$TMP/in" "$TMP/part."
for part in "$TMP"/part.*; do
    produce "$IN" <"$part" >/dev/null
    for worker in flusher/0 flusher/1; do
        pid=$(board "w['$worker']['pid']")
        [ "$pid" = 0 ] || kill -KILL "$pid" || true
    done
done
signal_worker KILL ingest/0
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
