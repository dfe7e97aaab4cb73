#!/bin/sh
# What is no span goes to the dead-letter topic with its bytes; its neighbours are flushed.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 30 --seed 3 --invalid 0.1 >"$TMP/in"
start_spanbufd --timeout 2 --root-timeout 1 --dead-letter-topic "$DEAD"
produce "$IN" <"$TMP/in"
printf '%s\n' '{"raw":null,"key":"k"}' '{"raw":"","key":"k"}' | produce "$IN" >/dev/null
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
wait_until 20 board_says 'total("dead_letters")' $((bad + 2))
consumed "$DEAD" "$TMP/dead"
grep -q tombstone "$TMP/dead" || fail "the tombstone is not among the dead letters"
grep -q '"spanbufd-offset"' "$TMP/dead" || fail "a dead letter does not say where it came from"
grep -v -e tombstone -e '"value": *""' "$TMP/dead" >"$TMP/letters"
stop_spanbufd
check "$TMP/in" --invalid "$TMP/letters"
