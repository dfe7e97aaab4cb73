#!/bin/sh
# While ingest is stopped its clocks stand: what arrived meanwhile in time still belongs together.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

span() {
    ids='\\"project_id\\":1,\\"trace_id\\":\\"t\\",\\"span_id\\":\\"%s\\"'
    # shellcheck disable=SC2059
    printf "{\"raw\":\"{$ids%s}\",\"key\":\"t\"}\n" \
        "$1" "${2:+,\\\"parent_span_id\\\":\\\"$2\\\"}"
}

start_redis
start_kafka 1
start_spanbufd --validate ids --partitions 0 --timeout 8 --root-timeout 8
span a | produce "$IN" >/dev/null
wait_until 30 board_says 'total("open_spans")' 1
ingest=$(board "w['ingest/0']['pid']")
kill -STOP "$ingest"
stopped_at=$(date +%s)
# Its connections are gone, so it wakes before it can read.
tell_mock down
tell_mock up
span b a | produce "$IN" >/dev/null
# Longer than the timeout since the root came.
past_timeout() { [ $(($(date +%s) - stopped_at)) -ge 12 ]; }
wait_until 20 past_timeout
kill -CONT "$ingest"
wait_until 40 board_says 'total("delivered")' 2
[ "$(board 'total("segments")')" = 1 ] || fail "the trace was torn"
stop_spanbufd
