#!/bin/sh
# A fixed list of partitions is read and no other; what is left is read by another list later.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
generate --traces 100 --seed 89 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
start_spanbufd --partitions 0,2 --timeout 3 --root-timeout 2
wait_until 30 board_says '[x["shard"] for x in s], total("read") > 0' '([0, 2], True)'
wait_until 30 board_says 'total("delivered") == total("read")' True
[ "$(board 'total("read")')" -lt "$(wc -l <"$TMP/in")" ] || fail "it reads what is not its own"
stop_spanbufd
start_spanbufd --partitions 1,3 --timeout 3 --root-timeout 2
wait_until 40 all_out "$TMP/in"
board_says '[x["shard"] for x in s]' '[1, 3]' || fail "it holds other shards"
stop_spanbufd
# And what it has committed holds: the first list again finds nothing new.
start_spanbufd --partitions 0,2 --timeout 3 --root-timeout 2
wait_until 30 board_says '[x["position"] == x["high_watermark"] for x in s]' '[True, True]'
board_says 'total("read")' 0 || fail "read again"
stop_spanbufd
check "$TMP/in"
