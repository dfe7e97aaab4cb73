#!/bin/sh
# Redis goes back in time while a flusher is hung, and what is read again lies in batches with other
# bounds than before: the shard does not stand still, and nothing is lost.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
for nth in 1 2 3; do generate --traces 30 --seed "7$nth" >"$TMP/part.$nth"; done
cat "$TMP"/part.* >"$TMP/in"
start_spanbufd --timeout 14 --root-timeout 14 --max-batch-time-ms 1500 \
    --max-unhealthy-seconds 60 --backpressure-seconds 60
sent=0
for nth in 1 2; do
    produce "$IN" <"$TMP/part.$nth" >/dev/null
    sent=$((sent + $(wc -l <"$TMP/part.$nth")))
    wait_until 30 board_says 's[0]["open_spans"]' "$sent"
    [ $nth -eq 2 ] || redis_cli save >/dev/null
done
signal_worker STOP flusher/0
kill -KILL "$REDIS"
wait_until 10 gone "$REDIS"
produce "$IN" <"$TMP/part.3" >/dev/null
start_redis
# Behind the end of the hung index, in a batch that begins before it.
wait_until 30 board_says 's[0]["position"]' "$(wc -l <"$TMP/in")"
signal_worker CONT flusher/0
wait_until 40 all_out "$TMP/in"
board_says "w['flusher/0']['restarts']" 0 || fail "the flusher was restarted: this tests nothing"
stop_spanbufd
check "$TMP/in"
