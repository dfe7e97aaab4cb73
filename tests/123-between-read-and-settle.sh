#!/bin/sh
# What arrives while its segment (or another dead letter) is in flight is delivered, and nothing is
# delivered twice (S14).
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

span() {
    printf '{"project_id":1,"trace_id":"t","span_id":"%s"%s}\n' "$1" \
        "${2:+,\"parent_span_id\":\"$2\"}"
}

start_redis
start_kafka 1
# Nobody leads the partitions of the outputs: the first flush stays in flight until the late span
# has been read and has fallen due itself.
leaders() { for topic in "$OUT 0" "$OUT 1" "$DEAD 0"; do tell_mock leader "$topic" "$1"; done; }
leaders gone
start_spanbufd --validate ids --root-timeout 1 --timeout 4 --dead-letter-topic "$DEAD"
wait_until 20 board_says 's[0]["position"]' 0
{ span a b; span b; span c b; } >"$TMP/in"
{ cat "$TMP/in"; echo 'no span'; } | produce "$IN" >/dev/null
wait_until 20 board_says 'total("read"), total("open_spans"), w["flusher/0"]["in_flight"] > 0' \
    '(4, 0, True)'
board_says 'total("delivered"), total("dead_letters")' '(0, 0)' || fail "it did not stay in flight"
span x b >>"$TMP/in"
{ span x b; echo 'no span either'; } | produce "$IN" >/dev/null
wait_until 20 board_says 'total("read"), total("open_spans"), total("delivered")' '(6, 0, 0)'
leaders 1
wait_until 60 board_says 'total("delivered"), total("dead_letters"), total("segments")' '(4, 2, 2)'
stop_spanbufd
# The late span finds its trace gone: a segment of its own.
check "$TMP/in" --split 1
consumed "$DEAD" "$TMP/dead"
[ "$(grep -c 'no span' "$TMP/dead")" -eq 2 ] || fail "not two dead letters"
[ -z "$(redis_cli keys "$ID:*:b:*")" ] || fail "a batch is left in Redis"
