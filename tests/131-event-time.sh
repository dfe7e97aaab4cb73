#!/bin/sh
# Deadlines live in event time: a backlog is assembled as if it had been read in time, and neither a
# message from the future nor a producer that is behind ends a segment early.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

span() {
    ids='\\"project_id\\":1,\\"trace_id\\":\\"%s\\",\\"span_id\\":\\"%s\\"'
    # shellcheck disable=SC2059
    printf "{\"raw\":\"{$ids%s}\",\"key\":\"%s\",\"at_ms\":%s}\n" \
        "$1" "$2" "${4:+,\\\"parent_span_id\\\":\\\"$4\\\"}" "$1" "$3"
}
segments() {
    consumed "$OUT" "$TMP/out" || return 1
    python3 - "$TMP/out" <<'EOF'
import json, sys
for line in open(sys.argv[1]):
    spans = json.loads(json.loads(line)["value"])["spans"]
    print(spans[0]["trace_id"], "".join(sorted(s["span_id"] for s in spans)))
EOF
}
new_topics() {
    for topic in "$IN" "$OUT"; do
        case $TEST_KAFKA in
            mock) tell_mock topic "$topic" 1 ;;
            apache) "$TESTKIT" create-topic "$BOOTSTRAP" "$topic" 1 ;;
        esac
    done
}
has_segments() { [ "$(segments | sort | tr '\n' ';')" = "$1" ] || { segments; return 1; }; }

start_redis
start_kafka 1
hour_ago=$((($(date +%s) - 3600) * 1000))
{
    # Root-timeout is 10 s: b comes in time, c 25 s later is a segment of its own.
    span t1 a $hour_ago
    span t1 b $((hour_ago + 9000)) a
    span t1 c $((hour_ago + 34000)) a
    # Without its root 60 s: d and e are one segment.
    span t2 d $((hour_ago + 40000)) x
    span t2 e $((hour_ago + 95000)) x
    span t9 z $((hour_ago + 400000))
    # From 2099: counts as now, and so ends what is older, but nothing that is of its own time.
    span t3 f 4070908800000
    span t3 g 4070908800000 f
} | produce "$IN" >/dev/null
start_spanbufd --validate ids
# z is ended by the jump to now; t3 itself stays open for its ten seconds.
wait_until 30 has_segments 't1 ab;t1 c;t2 de;t9 z;'
wait_until 30 has_segments 't1 ab;t1 c;t2 de;t3 fg;t9 z;'
stop_spanbufd

# The daemon is away for an hour; what was produced in time meanwhile still belongs together.
IN=away-$ID OUT=away-out-$ID NAMESPACE=away-$ID GROUP=away-$ID
new_topics
span t5 a $hour_ago | produce "$IN" >/dev/null
start_spanbufd --validate ids
wait_until 20 board_says 'total("read")' 1
stop_spanbufd
{
    span t5 b $((hour_ago + 9000)) a
    span t6 z $(($(date +%s) * 1000))
} | produce "$IN" >/dev/null
start_spanbufd --validate ids
wait_until 30 has_segments 't5 ab;t6 z;'
stop_spanbufd

# A producer that is 90 s behind: its clock runs on from its own time.
IN=behind-$ID OUT=behind-out-$ID NAMESPACE=behind-$ID GROUP=behind-$ID
new_topics
start_spanbufd --validate ids --root-timeout 4
behind=$((($(date +%s) - 90) * 1000))
span t4 a $behind | produce "$IN" >/dev/null
wait_until 20 board_says 'total("read")' 1
span t4 b $((behind + 1500)) a | produce "$IN" >/dev/null
wait_until 20 has_segments 't4 ab;'
stop_spanbufd
