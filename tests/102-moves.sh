#!/bin/sh
# A partition moves to another daemon between a child and its root: they are one segment (S15).
# kafka: both
. "$(dirname "$0")/lib/common.sh"

span() { printf '{"project_id":1,"trace_id":"t","span_id":"%s"%s}\n' "$1" "${2:-}"; }
one_segment() {
    consumed "$OUT" "$TMP/out" || return 1
    [ "$(wc -l <"$TMP/out")" -eq 1 ] || return 1
    grep -q '\\"span_id\\":\\"a\\".*\\"span_id\\":\\"b\\"' "$TMP/out"
}

start_redis
start_kafka 1
GROUP=$ID NAMESPACE=$ID
options="--validate ids --timeout 300 --root-timeout 5 --leave-on-stop true"
# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options
span b ',"parent_span_id":"a"' | produce "$IN" >/dev/null
wait_until 20 board_says 'total("open_spans")' 1
first=$DAEMON
# shellcheck disable=SC2086
INSTANCE=two-$ID && start_spanbufd $options
second=$DAEMON
DAEMON=$first INSTANCE=one-$ID
stop_spanbufd
DAEMON=$second INSTANCE=two-$ID
wait_until 40 board_says 'total("open_spans")' 1
span a | produce "$IN" >/dev/null
wait_until 30 one_segment
stop_spanbufd
