#!/bin/sh
# Partitions beyond max-shards are refused by name and stay in Kafka; the others are served, and
# with a larger board the rest is read from where the group began.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
generate --traces 60 --seed 71 >"$TMP/in"
start_spanbufd --max-shards 2 --timeout 2 --root-timeout 1
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'len(s), total("read") > 0, total("open_spans")' '(2, True, 0)'
for partition in 2 3; do
    grep -q "partition $partition is not consumed.*max-shards" "$TMP/log" ||
        fail "the log does not name partition $partition and max-shards"
done
read=$(board 'total("read")')
[ "$read" -lt "$(wc -l <"$TMP/in")" ] || fail "everything was read: this tests nothing"
stop_spanbufd
start_spanbufd --max-shards 4 --timeout 2 --root-timeout 1
wait_until 30 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
