#!/bin/sh
# While ingest is stopped, or Kafka hangs, clocks stand: what was produced in time meanwhile still
# belongs together.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

span() {
    ids='\\"project_id\\":1,\\"trace_id\\":\\"%s\\",\\"span_id\\":\\"%s\\"'
    # shellcheck disable=SC2059
    printf "{\"raw\":\"{$ids%s}\",\"key\":\"t\"}\n" \
        "$1" "$2" "${3:+,\\\"parent_span_id\\\":\\\"$3\\\"}"
}

start_redis
start_kafka 1
start_spanbufd --validate ids --partitions 0 --timeout 8 --root-timeout 8
span t a | produce "$IN" >/dev/null
wait_until 30 board_says 'total("open_spans")' 1
ingest=$(board "w['ingest/0']['pid']")
kill -STOP "$ingest"
stopped_at=$(date +%s)
# Its connections are gone, so it wakes before it can read.
tell_mock down
tell_mock up
span t b a | produce "$IN" >/dev/null
# Longer than the timeout since the root came.
past_timeout() { [ $(($(date +%s) - stopped_at)) -ge 12 ]; }
wait_until 20 past_timeout
kill -CONT "$ingest"
wait_until 40 board_says 'total("delivered")' 2
[ "$(board 'total("segments")')" = 1 ] || fail "the trace was torn"
stop_spanbufd

# Kafka hangs, and the producer with it.
start_spanbufd --validate ids --partitions 0 --timeout 8 --root-timeout 8
wait_until 30 board_says '[x["paused"] for x in s]' '[0]'
mkfifo "$TMP/feed"
produce "$IN" <"$TMP/feed" >/dev/null &
feed=$!
started "$feed"
exec 8>"$TMP/feed"
span u c >&8
wait_until 30 board_says 'total("open_spans")' 1
kill -STOP "$MOCK"
stopped_at=$(date +%s)
span u d c >&8
exec 8>&-
wait_until 20 past_timeout
kill -CONT "$MOCK"
wait "$feed" || fail "the feed failed"
wait_until 40 board_says 'total("delivered")' 2
[ "$(board 'total("segments")')" = 1 ] || fail "the trace was torn while Kafka hung"
stop_spanbufd
