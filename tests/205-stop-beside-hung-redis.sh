#!/bin/sh
# A stop while Redis hangs, with spans read and not appended, is in order and in time, also one that
# finds a worker leaving for a reload, with more time than the stop has; the next start loses
# nothing and doubles nothing. (Beside a Kafka that hangs: 352.)
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start() { start_spanbufd --flusher-processes 2 "$@"; }
# shutdown-timeout is less than two calls of the store may take.
start_slow() {
    start --timeout 300 --root-timeout 300 --shutdown-timeout 8 --rebalance-timeout 60
    wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(8, {0})'
}
# hang SEED: Redis does, and what is in Kafka now is in ingest's hands; no call of its comes back.
hang() {
    before=$(said 'ingest/0: the store does not answer')
    kill -STOP "$REDIS"
    generate --traces 70 --seed "$1" | tee -a "$TMP/in" | produce "$IN" >/dev/null
    wait_until 30 says 'ingest/0: the store does not answer' "$before"
}

start_redis
start_kafka 8
generate --traces 70 --seed 5 >"$TMP/in"
start_slow
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in")"
hang 6
stops_within 8000 'a hanging Redis'
kill -CONT "$REDIS"

start_slow
hang 7
kill -HUP "$DAEMON"
wait_until 30 board_says 'w["flusher/0"]["leave_by"] is not None' True
# It has come out of its call, and looked.
turns=$(board 'w["flusher/0"]["turns"]')
wait_until 20 board_says "w['flusher/0']['turns'] > $turns + 2" True
stops_within 8000 'a hanging Redis, in the middle of a reload'
kill -CONT "$REDIS"
start --timeout 3 --root-timeout 2
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
