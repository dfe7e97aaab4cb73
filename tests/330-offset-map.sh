#!/bin/sh
# Behind a pinned floor, the loss of Redis doubles what was in flight, with all daemons killed what
# was delivered since the last commit; delivered is delivered, open is read again, lost is nothing.
# kafka: both
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
open_spans=50000
# The mock keeps 5 MiB a partition.
[ "$TEST_KAFKA" = apache ] || open_spans=5000

# spans SEED ROOTED OPEN: a pin, traces of three with a root, and OPEN spans without one between.
spans() {
    python3 -c 'import json, sys
seed, rooted, opened = map(int, sys.argv[1:])
base = {"organization_id": 1, "project_id": 1, "start_timestamp": 1.0, "end_timestamp": 2.0,
        "received": 3.0, "retention_days": 9, "status": "ok", "name": "n"}
def span(trace, number, parent):
    trace, own = f"{seed:08x}{trace:024x}", f"{seed:08x}{number:08x}"
    print(json.dumps({**base, "trace_id": trace, "span_id": own, "parent_span_id": parent}))
number = 0
def some(trace, count, rooted):
    global number
    first = None if rooted else "f" * 16
    for nth in range(count):
        number += 1
        span(trace, number, first if nth == 0 else f"{seed:08x}{number - nth:08x}")
some(0, 1, False)
for trace in range(1, rooted + 1):
    some(trace, 3, True)
for trace in range(rooted + 1, rooted + 1 + opened // 10):
    some(trace, 10, False)' "$@"
}

: >"$TMP/in"
# fill SEED: all rooted traces are delivered, all others are open, and the commit says so.
fill() {
    start_spanbufd --timeout 300 --root-timeout 1
    spans "$1" 1000 $open_spans >"$TMP/part"
    produce "$IN" <"$TMP/part" >/dev/null
    cat "$TMP/part" >>"$TMP/in"
    wait_until 60 board_says 'total("delivered")' 3000
    wait_until 60 board_says 'total("open_spans")' $((open_spans + 1))
}
# drain FILE DOUBLED: everything comes out, at most so many twice.
drain() {
    start_spanbufd --timeout 1 --root-timeout 1
    wait_until 90 all_out "$TMP/in"
    stop_spanbufd
    echo "$1, $open_spans open behind a pinned floor:"
    check "$TMP/in" --doubled "$2"
}

fill 1
redis_cli flushall >/dev/null
wait_until 60 board_says 'total("skipped"), total("open_spans")' "(3000, $((open_spans + 1)))"
stop_spanbufd
drain "FLUSHALL with a living daemon" 0

fill 2
# A map, and no longer the one that went with the delivered half of it.
settled() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/committed.new"
    grep -q 'spanbufd/1 floor [0-9]* [^"]' "$TMP/committed.new" || return 1
    cmp -s "$TMP/committed.new" "$TMP/committed" && return 0
    mv "$TMP/committed.new" "$TMP/committed"
    sleep 2
    return 1
}
wait_until 30 settled
kill -KILL "$DAEMON"
wait_until 10 gone "$DAEMON"
rm -f "/dev/shm/spanbufd.$INSTANCE"
redis_cli flushall >/dev/null
drain "FLUSHALL with all daemons killed" 0
