#!/bin/sh
# What is buffered when the daemon stops is flushed by the next start, nothing doubled.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 100 --seed 7 >"$TMP/in"
produce "$IN" <"$TMP/in"
start_spanbufd --timeout 300 --root-timeout 200
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in")"
board_says 'total("segments")' 0 || fail "flushed before its time"
stop_spanbufd
[ "$(redis_cli keys "$ID:*" | grep -c ':b:')" -gt 0 ] || fail "nothing is buffered in Redis"
start_spanbufd --timeout 2 --root-timeout 1
wait_until 40 all_out "$TMP/in"
# A segment is settled after its acknowledgement: then Redis is empty but for the position.
wait_until 10 sh -c "[ \"\$(redis-cli -s '$REDIS_SOCKET' keys '*:b:*')\" = '' ]"
stop_spanbufd
check "$TMP/in"
