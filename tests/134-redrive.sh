#!/bin/sh
# Dead letters that parse under another validate go back where they came from, once: a dry run
# writes nothing, a second run goes on behind the first one.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

redrive() {
    "$SPANBUFD" redrive --bootstrap-servers "$BOOTSTRAP" --input-topic "$IN" --group-id "$ID" \
        --dead-letter-topic "$DEAD" --validate ids "$@" >"$TMP/answer" 2>&1 ||
        { cat "$TMP/answer"; fail "redrive $*"; }
}
says() { grep -q "^$1" "$TMP/answer" || { cat "$TMP/answer"; fail "not said: $1"; }; }

start_redis
start_kafka
# Whole spans, spans without what only strict validation asks for, and nonsense.
generate --traces 20 --seed 61 >"$TMP/whole"
generate --traces 20 --seed 62 | python3 -c '
import json, sys
for line in sys.stdin:
    span = json.loads(line)
    del span["retention_days"]
    raw = json.dumps(span)
    headers = {"mine": span["span_id"], "\u00ff\u0000": "no text"}
    print(json.dumps({"raw": raw, "key": "key of " + span["trace_id"], "headers": headers}))
' >"$TMP/bare"
python3 -c '
import json, sys
for line in open(sys.argv[1]): print(json.loads(line)["raw"])' "$TMP/bare" >"$TMP/bare.spans"
bare=$(wc -l <"$TMP/bare")
produce "$IN" <"$TMP/whole" >/dev/null
produce "$IN" <"$TMP/bare" >/dev/null
printf '%s\n' '{"raw":null,"key":"k"}' '{"raw":"nonsense","key":"k"}' | produce "$IN" >/dev/null
start_spanbufd --timeout 2 --root-timeout 1 --validate strict --dead-letter-topic "$DEAD"
wait_until 40 board_says 'total("dead_letters")' $((bare + 2))
wait_until 40 all_out "$TMP/whole"
stop_spanbufd

redrive --dry-run
says "$((bare + 2)) letters: $bare would be put back into $IN, 1 do not parse, 1 have no payload"
consumed "$IN" "$TMP/before"
redrive
says "$((bare + 2)) letters: $bare put back into $IN, 1 do not parse, 1 have no payload"
says "letter 0/"
redrive
says "0 letters"
consumed "$IN" "$TMP/after"
python3 - "$TMP/before" "$TMP/after" <<'EOF'
import collections, json, sys
def messages(path):
    lines = (json.loads(line) for line in open(path))
    return collections.Counter(
        json.dumps([m[name] for name in ("partition", "key", "value", "headers")], sort_keys=True)
        for m in lines
    )
before, after = messages(sys.argv[1]), messages(sys.argv[2])
put = after - before
assert not before - after
assert all(before[message] == count == 1 for message, count in put.items()), "changed on the way"
assert put and all("mine" in message for message in put), "headers"
EOF
start_spanbufd --timeout 2 --root-timeout 1 --validate ids --dead-letter-topic "$DEAD"
cat "$TMP/whole" "$TMP/bare.spans" >"$TMP/in"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
