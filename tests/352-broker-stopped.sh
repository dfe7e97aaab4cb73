#!/bin/sh
# Apache Kafka hangs (SIGSTOP) for longer than every patience: all wait alive, it is said on both
# sides, and everything is delivered when it goes on. A stop while it hangs, with segments on their
# way and a floor that is not committed, is in order and in time all the same.
# kafka: own
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
hang() { kill -STOP "$APACHE_PID" && began=$(date +%s); }
in_flight() { board_says "w['flusher/0']['in_flight'] >= $1" True; }
# The broker stops while so many bytes are in flight: the board may be a turn old, so it is asked
# twice.
hang_with() {
    hang
    if in_flight "$1" && sleep 0.2 && in_flight "$1"; then return 0; fi
    kill -CONT "$APACHE_PID"
    return 1
}
hung() { [ $(($(date +%s) - began)) -ge "$1" ]; }
start() {
    start_spanbufd --timeout 9 --root-timeout 8 --max-unhealthy-seconds 8 --shutdown-timeout 8 "$@"
    wait_until 60 board_says 'len(s), {x["paused"] for x in s}' '(4, {0})'
}

start
# Segments leave all the time, so some are on their way when it hangs.
generate --traces 1000 --seed 111 --rate 500 | tee "$TMP/in" | produce "$IN" >"$TMP/produced" &
feed=$!
started "$feed"
wait_until 60 board_says 'total("segments") > 50' True
wait_until 20 hang_with 1
wait_until 60 grep -q 'Kafka is away (output).*acknowledged' "$TMP/log"
wait_until 60 grep -q 'Kafka is away (input)' "$TMP/log"
wait_until 60 hung 20
board_says 'max(x["heartbeat_age_ms"] for x in w.values()) < 6000' True ||
    fail "a loop does not turn"
board_says 'w["flusher/0"]["waiting_for"], sum(x["restarts"] for x in w.values())' '(1, 0)' ||
    fail "not waiting for Kafka, or restarted"
kill -CONT "$APACHE_PID"
wait "$feed" || fail "the feed failed"
wait_until 90 all_out "$TMP/in"
stop_spanbufd

# stop_beside_it BYTES: while so many are in flight, the daemon ends with status 0 within
# shutdown-timeout.
stop_beside_it() {
    wait_until 20 hang_with "$1"
    stops_within 8000 'a hanging broker'
    kill -CONT "$APACHE_PID"
}
# All is delivered, and not committed.
start --commit-interval 3600
generate --traces 200 --seed 112 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 90 all_out "$TMP/in"
stop_beside_it 0
# Segments leave all the time.
start --commit-interval 3600
generate --traces 1000 --seed 113 --rate 500 | tee "$TMP/more" | produce "$IN" >"$TMP/produced" &
feed=$!
started "$feed"
wait_until 60 board_says 'total("segments") > 50' True
stop_beside_it 1
# Or, where one partition of the output had nothing in flight, that it was not waited for the other.
says 'leaving with [1-9][0-9]* bytes in flight and\|let go while [1-9][0-9]* segments wait' ||
    fail "not said"
wait "$feed" || fail "the feed failed"
cat "$TMP/more" >>"$TMP/in"
start
wait_until 90 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
lines=$(grep -c librdkafka "$TMP/log") || true
[ "$lines" -le 60 ] || fail "librdkafka floods the log: $lines lines"
