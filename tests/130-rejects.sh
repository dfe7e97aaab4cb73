#!/bin/sh
# What is no span goes to the dead-letter topic with its bytes, those of its headers' names too; its
# neighbours are flushed.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 30 --seed 3 --invalid 0.1 >"$TMP/in"
start_spanbufd --timeout 2 --root-timeout 1 --dead-letter-topic "$DEAD"
produce "$IN" <"$TMP/in"
# Each character of a header's name is a byte.
odd='{"mine":"1","\u00ff\u00fe":"2","with\u0000NUL":"3","\u0000\u00ff":null,"":""}'
printf '%s\n' '{"raw":null,"key":"k"}' '{"raw":"","key":"k"}' \
    "{\"raw\":\"odd\",\"key\":\"k\",\"headers\":$odd}" | produce "$IN" >/dev/null
wait_until 40 all_out "$TMP/in"
bad=$(python3 - "$TMP/in" <<'EOF'
import json, sys
def bad(line):
    try:
        span = json.loads(line)
        return not (isinstance(span, dict) and isinstance(span.get("trace_id"), str))
    except ValueError:
        return True
print(sum(bad(line) for line in open(sys.argv[1])))
EOF
)
[ "$bad" -gt 5 ] || fail "the input has only $bad bad messages"
wait_until 20 board_says 'total("dead_letters")' $((bad + 3))
consumed "$DEAD" "$TMP/dead"
grep -q tombstone "$TMP/dead" || fail "the tombstone is not among the dead letters"
grep -q '"spanbufd-offset"' "$TMP/dead" || fail "a dead letter does not say where it came from"
python3 - "$TMP/dead" "$odd" <<'EOF' || fail "the headers of the odd message are not whole"
import json, sys
letters = [json.loads(line) for line in open(sys.argv[1])]
[found] = [letter["headers"] for letter in letters if letter["value"] == "odd"]
kept = {name: found[name] for name in found if not name.startswith("spanbufd-")}
assert kept == json.loads(sys.argv[2]), kept
EOF
grep -v -e tombstone -e '"value": *""' -e '"value": *"odd"' "$TMP/dead" >"$TMP/letters"
stop_spanbufd
check "$TMP/in" --invalid "$TMP/letters"
