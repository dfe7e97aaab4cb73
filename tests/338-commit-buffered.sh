#!/bin/sh
# With commit = buffered the lag is small at once, a restart loses nothing, and the loss of Redis
# loses what was buffered and no more; the start warns of a retention that is too short, and of
# topics that are not there.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
IN=short-$ID
"$TESTKIT" create-topic "$BOOTSTRAP" "$IN" 2 retention.ms=660000
for part in 1 2 3; do generate --traces 100 --seed $((880 + part)) >"$TMP/in.$part"; done

# buffer PART: it is all in the buffer, and the group has no lag though nothing is delivered.
buffer() {
    start_spanbufd --commit buffered --timeout 300 --root-timeout 300 --dead-letter-topic "no-$ID"
    produce "$IN" <"$TMP/in.$1" >/dev/null
    wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in.$1")"
    wait_until 10 no_lag
    board_says 'total("delivered"), total("floor_lag") > 0' '(0, True)' || fail "delivered already"
}
no_lag() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/committed"
    python3 -c 'import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert all(row["committed"] == row["high"] > 0 for row in rows), rows
assert all(row["metadata"] == "spanbufd/1 buffered %d" % row["high"] for row in rows), rows' \
        "$TMP/committed"
}

buffer 1
grep -q "topic $IN keeps messages for 660 s (retention.ms), and the floor may be 900 s old \
(max-segment-age 600 s" "$TMP/log" || fail "no word of a retention that is too short"
grep -q "topic no-$ID (dead-letter-topic) is not there" "$TMP/log" || fail "no word of the topic"
! grep "(output-topic) is not there" "$TMP/log" || fail "the output topic is there"
stop_spanbufd
start_spanbufd --commit buffered --timeout 1 --root-timeout 1
wait_until 30 all_out "$TMP/in.1"
stop_spanbufd
check "$TMP/in.1"

# Nothing of it is read again, and what comes later gets through.
buffer 2
redis_cli flushall >/dev/null
wait_until 20 board_says 'total("lives"), total("open_spans")' '(2, 0)'
NO_AUDIT=1 stop_spanbufd
start_spanbufd --commit buffered --timeout 1 --root-timeout 1
produce "$IN" <"$TMP/in.3" >/dev/null
cat "$TMP/in.1" "$TMP/in.3" >"$TMP/in"
wait_until 30 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"

# Back to the floor: what is buffered is committed no longer.
start_spanbufd --timeout 300 --root-timeout 300
produce "$IN" <"$TMP/in.2" >/dev/null
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in.2")"
floor() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/committed"
    [ "$(grep -c 'spanbufd/1 floor' "$TMP/committed")" -eq 2 ] && ! no_lag 2>"$TMP/lag"
}
wait_until 10 floor
redis_cli flushall >/dev/null
wait_until 20 board_says 'total("read")' $((2 * $(wc -l <"$TMP/in.2")))
stop_spanbufd
cat "$TMP/in.2" >>"$TMP/in"
start_spanbufd --timeout 1 --root-timeout 1
wait_until 30 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
