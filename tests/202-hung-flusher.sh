#!/bin/sh
# A flusher that hangs is killed and replaced; meanwhile the shards of the others go on.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
generate --traces 100 --seed 37 >"$TMP/part.aa"
generate --traces 100 --seed 38 >"$TMP/part.ab"
cat "$TMP/part.aa" "$TMP/part.ab" >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2 --max-unhealthy-seconds 15 \
    --backpressure-seconds 2
wait_until 30 board_says 'sorted(x["holder"] for x in s)' '[0, 1]'
hung=$(board 's[1]["holder"]')
signal_worker STOP "flusher/$hung"
produce "$IN" --partition 0 <"$TMP/part.aa" >/dev/null
produce "$IN" --partition 1 <"$TMP/part.ab" >/dev/null
wait_until 12 board_says 's[0]["delivered"]' "$(wc -l <"$TMP/part.aa")"
board_says "s[1]['delivered'], w['flusher/$hung']['restarts']" '(0, 0)' ||
    fail "the hung flusher delivered, or was replaced too early to tell"
wait_until 30 board_says "w['flusher/$hung']['restarts'], w['flusher/$hung']['state']" \
    "(1, 'healthy')"
expect_obituary "flusher/$hung .*signal 9"
wait_until 30 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
