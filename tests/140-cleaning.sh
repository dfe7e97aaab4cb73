#!/bin/sh
# A few long-open traces do not keep everybody's bytes in Redis: what is left of sparse batches is
# rewritten.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

stored_bytes() {
    redis_cli eval 'local sum = 0
        for _, key in ipairs(redis.call("KEYS", ARGV[1])) do
            sum = sum + redis.call("STRLEN", key)
        end
        return sum' 0 "$ID:*:b:*"
}
at_most() { [ "$(stored_bytes)" -le "$1" ] || { stored_bytes; return 1; }; }

start_redis
start_kafka 1
generate --traces 2000 --seed 47 >"$TMP/in"
# One span in five hundred belongs to a trace whose root never comes.
awk 'NR % 500 == 0 { printf "{\"organization_id\":1,\"project_id\":9,\"trace_id\":\"open\"," \
    "\"span_id\":\"o%d\",\"parent_span_id\":\"never\",\"start_timestamp\":1,\"end_timestamp\":2," \
    "\"received\":3,\"retention_days\":90,\"status\":\"ok\"}\n", NR } { print }' \
    "$TMP/in" >"$TMP/mix"
start_spanbufd --timeout 300 --root-timeout 3
produce "$IN" <"$TMP/mix"
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/mix")"
wait_until 40 board_says 'total("open_spans")' "$(grep -c '"open"' "$TMP/mix")"
# A fifth of it would be stored if nothing went.
wait_until 20 at_most $(($(wc -c <"$TMP/mix") / 200))
echo "stored bytes: $(stored_bytes) with one open trace, of $(wc -c <"$TMP/mix") that came"
[ "$(board 'total("cleaned")')" -gt 0 ] || fail "nothing was cleaned"
# What was moved is still whole.
stop_spanbufd
start_spanbufd --timeout 2 --root-timeout 1
wait_until 40 all_out "$TMP/mix"
stop_spanbufd
check "$TMP/mix"
