#!/bin/sh
# Somebody else took a shard in Redis, and the group says that it is ours: it is taken back. The
# group says so by the outcome of a commit; one that is refused is said, and sent again.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

all_committed() { board_says '[x["committed"] == x["high_watermark"] for x in s]' '[True, True]'; }

start_redis
start_kafka 2
start_spanbufd --timeout 3 --root-timeout 2
more 40
wait_until 40 board_says 'total("read")' "$(wc -l <"$TMP/in")"
for shard in 0 1; do redis_cli hset "$ID:{$shard}:p" epoch stolen >/dev/null; done
wait_until 20 says 'two owners.*taking it back'
wait_until 40 all_out "$TMP/in"
wait_until 20 board_says '[x["confirmed"] == x["contested"] > 0 for x in s]' '[True, True]'

tell_mock refuse offset-commit group-denied 1
more 40
wait_until 40 says 'cannot commit the floor: .*authoriz'
wait_until 40 all_out "$TMP/in"
wait_until 20 all_committed
wait_until 20 says 'cannot commit the floor: .*works again'
stop_spanbufd
check "$TMP/in" --doubled 1000000
