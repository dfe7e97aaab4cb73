#!/bin/sh
# What Kafka refuses on the output side is said once with what to do, settles nothing, and is
# delivered when it is over: topic denied, replicas missing, a full queue, deliveries that time out,
# a producer that fails for good and is replaced, a stop with messages in flight.
# kafka: mock
# timeout: 300
. "$(dirname "$0")/lib/common.sh"

start() {
    start_spanbufd --timeout 3 --root-timeout 2 --max-unhealthy-seconds 8 \
        --kafka-producer message.timeout.ms=5000 --kafka-producer queue.buffering.max.messages=10 \
        --kafka-producer socket.timeout.ms=4000
}

start_redis
start_kafka 2
start
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
# More segments than the queue holds.
more 40
wait_until 60 all_out "$TMP/in"

# Missing replicas for a moment.
more 40
tell_mock refuse produce not-enough-replicas 3
wait_until 60 all_out "$TMP/in"

# They, or a leader that is always another, for longer than a message may take: the client gives the
# segments up, and they are sent again and again. Nothing of them was ever taken, so none doubles.
for error in not-enough-replicas not-leader; do
    : >"$TMP/log"
    delivered=$(wc -l <"$TMP/in")
    wait_until 20 board_says 'total("delivered")' "$delivered"
    # What is written here has to be taken.
    signal_worker STOP flusher/0
    more 40
    tell_mock refuse produce $error 1000000
    signal_worker CONT flusher/0
    wait_until 30 says 'WARN .*Kafka is away (output).*replicas'
    holds 8 board_says 'total("delivered"), w["flusher/0"]["waiting_for"]' "($delivered, 1)"
    [ "$(said 'WARN .*(output)')" -eq 1 ] || fail "said more than once: $error"
    # Of a partition the end of the round before may be said here still.
    says 'Kafka is away.*works again' && fail "it is not over: $error"
    tell_mock accept produce
    wait_until 60 all_out "$TMP/in"
    wait_until 20 says 'Kafka is away (output).*works again'
    check "$TMP/in"
done

more 40
tell_mock topic-error "$OUT" topic-denied
tell_mock refuse produce topic-denied 20
wait_until 40 says '(output).*grant'
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
tell_mock topic-error "$OUT" none
wait_until 90 all_out "$TMP/in" --doubled 1000000
wait_until 20 says '(output).*works again'

# Away for longer than message.timeout.ms: not settled, sent again.
delivered=$(board 'total("delivered")')
tell_mock down
wait_until 20 says 'Kafka is away'
generate --traces 40 --seed 104 >"$TMP/later"
tell_mock up
cat "$TMP/later" >>"$TMP/in"
produce "$IN" <"$TMP/later" >/dev/null
tell_mock delay 6000
wait_until 60 says 'Kafka is away (output)'
board_says 'total("delivered")' "$delivered" || fail "settled what was not acknowledged"
tell_mock delay 0
wait_until 90 all_out "$TMP/in" --doubled 1000000

# The idempotent producer fails for good.
more 40
tell_mock refuse produce out-of-order 1
wait_until 40 says 'the producer failed .*sent again by a new one'
wait_until 90 all_out "$TMP/in" --doubled 1000000
board_says 'w["flusher/0"]["producers"]' 1 || fail "the replaced producer is not counted"

# Stopped with messages in flight: they are settled, or delivered by the next start.
more 40
tell_mock delay 1000
wait_until 40 board_says 'w["flusher/0"]["in_flight"] > 0' True
stop_spanbufd 40
tell_mock delay 0
start
wait_until 90 all_out "$TMP/in" --doubled 1000000
stop_spanbufd 40
check "$TMP/in" --doubled 1000000
lines=$(said librdkafka) || true
echo "$lines lines of librdkafka's own, $(wc -l <"$TMP/log") in all"
[ "$lines" -le 40 ] || fail "librdkafka floods the log"
