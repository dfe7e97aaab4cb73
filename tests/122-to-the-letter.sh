#!/bin/sh
# Odd spans pass byte for byte apart from the two fields that are set; what is no span becomes a
# dead letter with its bytes (S9, S16), whatever stands beside it in a batch.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
python3 "$ROOT/tests/odd.py" --produce >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
start_spanbufd --timeout 2 --root-timeout 1 --dead-letter-topic "$DEAD"
wait_until 30 board_says 'total("delivered"), total("dead_letters")' '(9, 8)'
stop_spanbufd
consumed "$OUT" "$TMP/out"
consumed "$DEAD" "$TMP/dead"
python3 "$ROOT/tests/odd.py" --check "$TMP/out" "$TMP/dead"
