#!/bin/sh
# Behind a pinned floor with 50,000 open spans, the loss of Redis doubles what was in flight, with
# all daemons killed what was delivered since the last commit; the map is too large for a commit.
# kafka: apache
# timeout: 900
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
MAPS=maps-$ID
burst=300

# spans SEED PIN WINDOWS ROOTED OPEN: a span of an open trace if PIN is 1; then windows of ROOTED
# single spans that are due soon, scattered among OPEN traces of ten spans that lack their root.
spans() {
    python3 -c 'import json, random, sys
seed, pin, windows, rooted, opened = map(int, sys.argv[1:])
base = {"organization_id": 1, "project_id": 1, "start_timestamp": 1.0, "end_timestamp": 2.0,
        "received": 3.0, "retention_days": 9, "status": "ok", "name": "n"}
numbers, rng = iter(range(1, 1 << 30)), random.Random(seed)
def trace(count, parent):
    first = f"{seed:08x}{next(numbers):024x}"
    return [json.dumps({**base, "trace_id": first, "parent_span_id": parent,
                        "span_id": f"{seed:08x}{next(numbers):08x}"}) for _ in range(count)]
print(*trace(pin, "f" * 16), sep="\n", end="\n" * pin)
for _ in range(windows):
    window = [span for _ in range(rooted) for span in trace(1, None)]
    window += [span for _ in range(opened) for span in trace(10, "f" * 16)]
    rng.shuffle(window)
    print(*window, sep="\n")' "$@" >"$TMP/part"
    cat "$TMP/part" >>"$TMP/in"
    produce "$IN" <"$TMP/part" >/dev/null
}
# put_burst SEED: on top of all that is committed; when it returns, it is being delivered.
put_burst() {
    before=$(board 'total("delivered")')
    spans "$1" 0 1 $burst 0
    wait_until 120 board_says "total('delivered') > $before" True
}
start() { start_spanbufd --timeout 600 --root-timeout 1 --offset-map-topic "$1"; }
# has_open WORD COUNT: all open spans are in the buffer, and so many others delivered or skipped.
has_open() {
    wait_until 180 board_says "total('open_spans') >= 50001, total('$1') >= $2" "(True, True)"
}
# doubled BEFORE WHAT: of what is delivered by now.
doubled() {
    consumed "$OUT" "$TMP/out" || fail "cannot read $OUT"
    twice=$(python3 -c 'import json, sys
spans = [span["span_id"] for line in open(sys.argv[1])
         for span in json.loads(json.loads(line)["value"])["spans"]]
print(len(spans) - len(set(spans)))' "$TMP/out")
    echo "50,000 open behind a pinned floor, 10,000 delivered, $burst in flight; $2: doubled" \
        $((twice - $1))
    [ $((twice - $1)) -le $burst ] || fail "more than was in flight"
}

start ''
spans 1 1 250 40 20
has_open delivered 10000
wait_until 60 grep -q "does not fit into the commit's metadata, and offset-map-topic is not" \
    "$TMP/log"
stop_spanbufd
[ "$(grep -c "does not fit into the commit's metadata" "$TMP/log")" -eq 1 ] || fail "not said once"

start "$MAPS"
# The commit speaks of a record, and the record is of this shard and larger than a commit.
kept() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/committed"
    grep -Eq 'spanbufd/1 floor [0-9]+ [^ "]+ [0-9a-f]{16}' "$TMP/committed" || return 1
    consume "$MAPS" | tail -n 1 >"$TMP/record"
    grep -q "$ID/$IN/0" "$TMP/record" && [ "$(wc -c <"$TMP/record")" -gt 4096 ]
}
wait_until 120 kept
[ "$("$TESTKIT" setting "$BOOTSTRAP" "$MAPS" cleanup.policy)" = compact ] || fail "not compacted"
put_burst 2
redis_cli flushall >/dev/null
wait_until 60 board_says 'total("lives")' 1
has_open skipped 10000
doubled 0 "FLUSHALL with a living daemon"
earlier=$twice

wait_until 120 kept
put_burst 3
kill -KILL "$DAEMON"
wait_until 10 gone "$DAEMON"
rm -f "/dev/shm/spanbufd.$INSTANCE"
redis_cli flushall >/dev/null
start_spanbufd --timeout 5 --root-timeout 1 --offset-map-topic "$MAPS"
wait_until 300 board_says \
    '[x["position"] == x["high_watermark"] for x in s], total("open_spans")' '([True], 0)'
wait_until 60 all_out "$TMP/in"
board_says 'total("skipped") >= 10000' True || fail "the record was not believed"
stop_spanbufd
doubled "$earlier" "FLUSHALL with all daemons killed"
check "$TMP/in" --doubled $((2 * burst))
