#!/bin/sh
# A group's first start at the end, with a partition that has no leader and several workers: nobody
# waits for it, and when it has a leader its end counts, too. All that is written after the start is
# delivered, and nothing of what was there before.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# ends SHARDS: those that have a position have these.
ends() {
    board_says 'sorted((x["shard"], x["position"]) for x in s if x["position"] is not None)' "$1"
}
end() { cat "$TMP/end.$1"; }

start_redis
start_kafka 4
for partition in 0 1 2 3; do
    generate --traces 3 --seed 9$partition |
        produce "$IN" --partition $partition >"$TMP/end.$partition"
done
tell_mock leader "$IN" 1 gone
start_spanbufd --start-from latest --ingest-workers 2 --flusher-processes 2 \
    --timeout 2 --root-timeout 1
wait_until 30 ends "[(0, $(end 0)), (2, $(end 2)), (3, $(end 3))]"
more 40 --partition 0
more 40 --partition 2
wait_until 20 all_out "$TMP/in"
wait_until 20 says 'partitions do not answer.*: 1: .*look at their leaders'
says 'Kafka is away' && fail "the brokers are there"
tell_mock leader "$IN" 1 1
wait_until 40 board_says '[x["position"] for x in s if x["shard"] == 1]' "[$(end 1)]"
wait_until 20 says 'partitions do not answer.*works again'
more 40 --partition 1
more 40 --partition 3
wait_until 20 all_out "$TMP/in"
[ "$(said 'the group begins, with 4 partitions')" -eq 1 ] || fail "the group did not begin once"
stop_spanbufd
check "$TMP/in"
