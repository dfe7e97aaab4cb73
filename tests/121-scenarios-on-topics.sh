#!/bin/sh
# The rules of assembly on topics: every order of every scenario, as a trace of its own.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
python3 "$ROOT/tests/scenarios.py" --produce >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
start_spanbufd --validate ids --max-batch-size 50
as_expected() {
    consumed "$OUT" "$TMP/out" && python3 "$ROOT/tests/scenarios.py" --check "$TMP/out"
}
wait_until 60 as_expected
cat "$TMP/answer"
stop_spanbufd
