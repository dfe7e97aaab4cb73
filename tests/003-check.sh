#!/bin/sh
# check.py, which judges what most tests deliver, sees what is lost, comes twice, is split, or torn
# below its root; and takes for whole what came in parts, was cut by a limit, or came again whole.
. "$(dirname "$0")/lib/common.sh"

# Span r is the root, a and b hang under it, x under one that is not there.
make() {
    python3 - "$@" <<'EOF'
import json, sys
def span(name):
    parent, segment = {"r": (None, "r"), "x": ("y", "y")}.get(name, ("r", "r"))
    return {"project_id": 1, "trace_id": "t", "span_id": name, "parent_span_id": parent,
            "is_segment": name == "r", "attributes": {"sentry.segment.id": {"value": segment}}}
if sys.argv[1] == "in":
    for name in sys.argv[2]: print(json.dumps(span(name)))
    sys.exit()
for number, flush in enumerate(sys.argv[2:]):
    names, _, kind = flush.partition(",")
    message = {"flush_id": str(number), "spans": [span(name) for name in names]}
    if kind == "part": message["skip_enrichment"] = True
    headers = {"reason": kind or "idle-with-root", "source": "0:0-1"}
    print(json.dumps({"value": json.dumps(message), "headers": headers}))
EOF
}
# judged WORDS SPANS FLUSH…: of these spans, delivered in these flushes, it says so. Behind the
# spans of a flush may stand for what it was flushed, or that it is a part.
judged() {
    words=$1
    make in "$2" >"$TMP/in"
    shift 2
    make out "$@" >"$TMP/out"
    python3 "$ROOT/tests/lib/check.py" "$TMP/in" "$TMP/out" >"$TMP/answer" || true
    grep -q "$words" "$TMP/answer" || fail "not '$words' of $*: $(cat "$TMP/answer")"
}

judged 'lost 0, doubled 0 .* split 0,' rab rab
judged 'lost 1,' rab ra
judged 'doubled 1 (1 under another' rab rab b
judged 'doubled 2 (2 under another.* split 0,' rab ra rab
judged 'split 1,' rax ra x
judged 'split 1,' rab ra b
judged 'split 1,' rab ra rb
judged 'split 0,' rab ra,part b,part
judged 'split 0,' rab ra,size b
expect_status 1 python3 "$ROOT/tests/lib/check.py" "$TMP/in" /dev/null
