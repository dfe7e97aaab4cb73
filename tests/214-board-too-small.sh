#!/bin/sh
# Partitions beyond max-shards are refused by name and stay in Kafka, which status and systemd say;
# the others are served, and with a larger board the rest is read from where the group began.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
generate --traces 60 --seed 71 >"$TMP/in"
hear_notify
start_spanbufd --max-shards 2 --timeout 2 --root-timeout 1
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'len(s), total("read") > 0, total("open_spans")' '(2, True, 0)'
for partition in 2 3; do
    grep -q "partition $partition is not consumed.*max-shards" "$TMP/log" ||
        fail "the log does not name partition $partition and max-shards"
done
remedy='does not consume 2 partitions, .* 2 or more: set max-shards to the number of partitions'
expect_status 1 "$SPANBUFD" status --instance "$INSTANCE"
grep -q "^degraded: ingest/0 $remedy" "$TMP/answer" || fail "status: $(cat "$TMP/answer")"
expect_status 1 "$SPANBUFD" status --json --instance "$INSTANCE"
board_says 'd["health"], w["ingest/0"]["unserved"], len(d["flaws"])' "('degraded', 2, 1)" ||
    fail "status --json: $(cat "$TMP/answer")"
wait_until 10 told '^STATUS=.* 2 shards, 2 partitions beyond max-shards are not consumed$'
read=$(board 'total("read")')
[ "$read" -lt "$(wc -l <"$TMP/in")" ] || fail "everything was read: this tests nothing"
stop_spanbufd
start_spanbufd --max-shards 4 --timeout 2 --root-timeout 1
wait_until 30 all_out "$TMP/in"
expect_status 0 "$SPANBUFD" status --instance "$INSTANCE"
stop_spanbufd
check "$TMP/in"
