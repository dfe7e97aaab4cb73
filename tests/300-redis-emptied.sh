#!/bin/sh
# Redis is emptied in mid-run: the daemon notices without a new message and reads again from the
# floor; every span is delivered.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 200 --seed 17 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 6 --root-timeout 4
produce "$IN" <"$TMP/in"
count=$(wc -l <"$TMP/in")
wait_until 20 board_says 'total("read")' "$count"
redis_cli flushall >/dev/null
# Quiet from here on: nobody sends anything, and still it is noticed.
wait_until 20 board_says 'total("read")' $((2 * count))
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
