#!/bin/sh
# Behind a pinned floor with 50,000 open spans, the loss of Redis doubles what was in flight, with
# all daemons killed what was delivered since the last commit; where the map goes decides nothing.
# kafka: apache
# timeout: 300
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
MAPS=maps-$ID
open_spans=50000
burst=300

# spans SEED PIN ROOTED SIZE OPEN ORDER: PIN spans (0 or 1) of an open trace, ROOTED traces of SIZE
# spans with a root, OPEN spans in traces of ten without one; ORDER is apart or mixed.
spans() {
    python3 -c 'import json, random, sys
seed, pin, rooted, size, opened = map(int, sys.argv[1:6])
base = {"organization_id": 1, "project_id": 1, "start_timestamp": 1.0, "end_timestamp": 2.0,
        "received": 3.0, "retention_days": 9, "status": "ok", "name": "n"}
number = 0
def trace(count, rooted):
    global number
    parent = None if rooted else "f" * 16
    for nth in range(count):
        number += 1
        own = f"{seed:08x}{number:08x}"
        first = number - nth
        yield json.dumps({**base, "trace_id": f"{seed:08x}{first:024x}", "span_id": own,
                          "parent_span_id": f"{seed:08x}{first:08x}" if nth else parent})
first = list(trace(pin, False))
rest = [span for _ in range(rooted) for span in trace(size, True)]
rest += [span for _ in range(opened // 10) for span in trace(10, False)]
if sys.argv[6] == "mixed": random.Random(seed).shuffle(rest)
print(*first, *rest, sep="\n")' "$@"
}
: >"$TMP/in"
# put WORDS…: produces these spans.
put() {
    spans "$@" >"$TMP/part"
    produce "$IN" <"$TMP/part" >/dev/null
    cat "$TMP/part" >>"$TMP/in"
}
delivered() { board 'total("delivered")'; }
has_delivered() { board_says "total('delivered') >= $1" True; }
# put_burst SEED: on top of all that is committed, and not all of it may be by the time it returns.
put_burst() {
    before=$(delivered)
    put "$1" 0 $((burst / 3)) 3 0 apart
    wait_until 60 has_delivered $((before + 1))
}
# drain FILE: everything comes out.
drain() {
    start_spanbufd --timeout 1 --root-timeout 1 --offset-map-topic "$MAPS"
    wait_until 120 all_out "$TMP/in"
    stop_spanbufd
    echo "$1, $open_spans open behind a pinned floor, $burst just delivered:"
    check "$TMP/in" --doubled $burst
}

start_spanbufd --timeout 300 --root-timeout 1 --offset-map-topic "$MAPS"
put 1 1 1000 3 $open_spans apart
wait_until 60 board_says 'total("delivered")' 3000
wait_until 60 board_says 'total("open_spans")' $((open_spans + 1))
put_burst 2
redis_cli flushall >/dev/null
wait_until 60 board_says "total('open_spans') >= $((open_spans + 1))" True
wait_until 60 board_says "total('skipped') >= 3000" True
stop_spanbufd
drain "FLUSHALL with a living daemon"

# Scattered, the map is too large for a commit.
start_spanbufd --timeout 300 --root-timeout 1 --offset-map-topic ''
put 3 1 10000 1 $open_spans mixed
wait_until 60 board_says 'total("delivered")' 10000
wait_until 60 board_says 'total("open_spans")' $((open_spans + 1))
wait_until 20 grep -q "does not fit into the commit's metadata, and offset-map-topic is not" \
    "$TMP/log"
stop_spanbufd
[ "$(grep -c "does not fit into the commit's metadata" "$TMP/log")" -eq 1 ] || fail "not said once"

start_spanbufd --timeout 300 --root-timeout 1 --offset-map-topic "$MAPS"
# The commit speaks of a record, and the record is of this shard and as large as it has to be.
kept() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/committed"
    grep -Eq 'spanbufd/1 floor [0-9]+ [^ "]+ [0-9a-f]{16}' "$TMP/committed" || return 1
    consume "$MAPS" | tail -n 1 >"$TMP/record"
    grep -q "$ID/$IN/0" "$TMP/record" && [ "$(wc -c <"$TMP/record")" -gt 4096 ]
}
wait_until 60 kept
[ "$("$TESTKIT" setting "$BOOTSTRAP" "$MAPS" cleanup.policy)" = compact ] || fail "not compacted"
put_burst 4
kill -KILL "$DAEMON"
wait_until 10 gone "$DAEMON"
rm -f "/dev/shm/spanbufd.$INSTANCE"
redis_cli flushall >/dev/null
: >"$TMP/log"
drain "FLUSHALL with all daemons killed"
left_out=$(sed -n 's/.* \([0-9]*\) messages from offset .* are known to be.*/\1/p' "$TMP/log")
[ "${left_out:-0}" -ge 10000 ] || fail "the record was not believed: $left_out left out"
