#!/bin/sh
# A chain of 300 spans that arrives leaf first, one span a batch, is one segment.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
ids='"project_id":1,"trace_id":"t","span_id":"%016x"'
for n in $(seq 300 -1 1); do
    # shellcheck disable=SC2059
    printf "{$ids,\"parent_span_id\":\"%016x\"}\n" "$n" $((n - 1))
done >"$TMP/in"
# shellcheck disable=SC2059
printf "{$ids}\n" 0 >>"$TMP/in"
start_spanbufd --validate ids --max-batch-size 1 --timeout 60 --root-timeout 2
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("delivered"), total("segments"), total("batches")' '(301, 1, 301)'
stop_spanbufd
check "$TMP/in"
