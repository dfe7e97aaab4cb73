#!/bin/sh
# A stop while Redis hangs, with spans read and not appended, is in order and in time; the next
# start loses nothing and doubles nothing. (Beside a Kafka that hangs: 352.)
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 8
generate --traces 70 --seed 5 >"$TMP/part.aa"
generate --traces 70 --seed 6 >"$TMP/part.ab"
cat "$TMP/part.aa" "$TMP/part.ab" >"$TMP/in"
# shutdown-timeout is less than two calls of the store may take.
start_spanbufd --flusher-processes 2 --timeout 300 --root-timeout 300 --shutdown-timeout 8
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(8, {0})'
produce "$IN" <"$TMP/part.aa" >/dev/null
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/part.aa")"
kill -STOP "$REDIS"
produce "$IN" <"$TMP/part.ab" >/dev/null
# What stands in Kafka is in ingest's hands now, and no call of its comes back.
wait_until 30 says 'ingest/0: the store does not answer'
stops_within 8000 'a hanging Redis'
kill -CONT "$REDIS"
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
