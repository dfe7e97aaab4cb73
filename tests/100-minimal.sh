#!/bin/sh
# Spans in, segments out, nothing lost and nothing doubled; SIGTERM ends it in order.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 200 --seed 5 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2
produce "$IN" <"$TMP/in"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
began="spanbufd [0-9.]* (librdkafka .*) starts: instance $ID, no file, $IN to $OUT at .*, group $ID"
head -n 1 "$TMP/log" | grep -q "$began" || fail "the log does not begin with what was started"
tail -n 1 "$TMP/log" | grep -q 'stopped, with status 0' || fail "the log does not end with the end"
