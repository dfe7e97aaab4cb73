#!/bin/sh
# The headers of an output message name the offset of each of its spans: a reader that keeps those
# it has seen can drop a repeated span in whatever company it comes.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 25 --spans-per-trace 60 --seed 51 >"$TMP/in"
start_spanbufd --timeout 3 --root-timeout 2 --max-segment-bytes 20000
produce "$IN" <"$TMP/in" >/dev/null
wait_until 40 board_says 'total("delivered")' "$(wc -l <"$TMP/in")"
stop_spanbufd
consumed "$IN" "$TMP/read"
consumed "$OUT" "$TMP/out"
python3 - "$TMP/read" "$TMP/out" <<'EOF'
import json, sys
read = {}
for line in open(sys.argv[1]):
    message = json.loads(line)
    key = (message["partition"], message["offset"])
    read[key] = json.loads(message["value"])["span_id"]
seen, parts = {}, 0
for line in open(sys.argv[2]):
    message = json.loads(line)
    value, headers = json.loads(message["value"]), message["headers"]
    shard, ranges = headers["source"].split(":")
    assert headers["flush_id"] == value["flush_id"], headers
    assert headers["reason"] in ("idle-with-root", "idle-without-root", "age", "size"), headers
    spans, parts = value["spans"], parts + value.get("skip_enrichment", False)
    if not value.get("skip_enrichment"):
        root = any(span["is_segment"] for span in spans)
        assert headers["root"] == str(root).lower(), headers
    offsets = []
    for pair in ranges.split(","):
        first, end = map(int, pair.split("-"))
        offsets += range(first, end)
    named = [read[(int(shard), offset)] for offset in offsets]
    assert named == [span["span_id"] for span in spans], (headers, named)
    for offset in offsets:
        assert (shard, offset) not in seen, ("twice", shard, offset)
        seen[(shard, offset)] = True
assert len(seen) == len(read), (len(seen), len(read))
assert parts, "no segment came in parts"
EOF
