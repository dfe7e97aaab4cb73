#!/bin/sh
# Kafka is away for a while: nobody is killed for waiting, and everything is delivered once. Who
# stops while Kafka hangs waits for what he has sent, also when that is little: no broker answers,
# so no partition is dead by itself, and nothing comes twice.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
OUT=wide-$ID
tell_mock topic "$OUT" 12
generate --traces 10 --seed 44 >"$TMP/in"
start_spanbufd --timeout 5 --root-timeout 4
produce "$IN" <"$TMP/in"
# Its flusher knows the partitions.
wait_until 30 all_out "$TMP/in"
generate --traces 10 --seed 45 | tee -a "$TMP/in" | produce "$IN"
# What is sent is on its way for as long as this takes.
tell_mock delay 1500
wait_until 60 board_says 'w["flusher/0"]["in_flight"] > 0' True
kill -STOP "$MOCK"
kill -TERM "$DAEMON"
# Longer than a dead partition is waited for.
end=$(($(date +%s) + 8))
while [ "$(date +%s)" -lt $end ]; do
    alive "$DAEMON" || fail "it did not wait for what it had sent"
    sleep 0.1
done
kill -CONT "$MOCK"
ended 0 30
tell_mock delay 0
says 'let go while\|leaving with' && fail "it has left something behind"
start_spanbufd --timeout 5 --root-timeout 4
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"

generate --traces 200 --seed 43 >"$TMP/more"
cat "$TMP/more" >>"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 5 --root-timeout 4 --max-unhealthy-seconds 5
produce "$IN" <"$TMP/more"
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/more")"
tell_mock down
# Longer than max-unhealthy-seconds and than every deadline.
end=$(($(date +%s) + 8))
while [ "$(date +%s)" -lt $end ]; do
    board_says 'max(x["heartbeat_age_ms"] for x in w.values()) < 4500' True ||
        fail "a worker's loop does not turn"
done
board_says 'total("delivered")' 0 || fail "delivered to a broker that is away"
tell_mock up
wait_until 60 all_out "$TMP/in"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in" --doubled 1000000
