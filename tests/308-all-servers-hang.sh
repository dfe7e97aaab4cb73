#!/bin/sh
# 64 shards against a Redis and a Kafka that hang, first both and then Kafka alone: each call of a
# worker is bounded, so the hearts go on beating, nobody is killed, and everything goes on when they
# do. Spans are produced all the time, and no trace is torn.
# kafka: mock
# timeout: 400
. "$(dirname "$0")/lib/common.sh"

flows() { board_says 'len([x for x in s if x["paused"] == 0])' 64; }
hang() {
    loops_turn 13 5000
    board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
}

start_redis
start_kafka 64
start_spanbufd --flusher-processes 2 --timeout 5 --root-timeout 4 --max-unhealthy-seconds 5
wait_until 60 flows
generate --traces 250 --seed 61 --rate 40 --window 5 | produce "$IN" >/dev/null &
feed=$!
started "$feed"
wait_until 30 board_says 'total("read") > 100' True
kill -STOP "$REDIS"
hang
kill -STOP "$MOCK"
hang
kill -CONT "$REDIS"
kill -CONT "$MOCK"
wait_until 60 flows
kill -STOP "$MOCK"
hang
alive "$feed" || fail "the feed ended before Kafka was back"
kill -CONT "$MOCK"
wait "$feed" || fail "the feed failed"
consumed "$IN" "$TMP/in" || fail "cannot read $IN"
wait_until 120 all_out "$TMP/in" --consumed --timeouts 4,5
wait_until 30 board_says 'd["health"], sum(x["restarts"] for x in w.values())' "('healthy', 0)"
stop_spanbufd
wait_until 20 all_out "$TMP/in" --consumed --timeouts 4,5
cat "$TMP/answer"
