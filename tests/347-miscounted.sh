#!/bin/sh
# The store counts another number of batches than the index has: noticed also while the shard is
# busy, and there is always something that the store has not been told.
# kafka: apache
# What is read again has to be there still: the mock cluster keeps 5 MB of a partition.
. "$(dirname "$0")/lib/common.sh"

went='shard 0: the store went another way'
start_redis
start_kafka 1
start_spanbufd --timeout 2 --root-timeout 1 --max-batch-time-ms 10
generate --traces 8000 --seed 71 --rate 4000 | tee "$TMP/in" | produce "$IN" >"$TMP/produced" &
started $!
wait_until 30 board_says 'total("delivered") > 1000' True
for round in 1 2 3 4 5; do
    taken=$(said 'shard 0: taken')
    redis_cli hincrby "$ID:{0}:p" batches 1 >/dev/null
    wait_until 5 says "$went" $((round - 1))
    wait_until 10 says 'shard 0: taken' "$taken"
done
[ ! -s "$TMP/produced" ] || fail "all was produced before the last one was noticed"
wait_until 60 test -s "$TMP/produced"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
