#!/bin/sh
# Kafka hangs while much is due: what is in flight and all memory stays bounded, nobody is killed or
# loses the group, and everything is delivered once it is back.
# kafka: own
# timeout: 400
#
# The outage lasts 25 s, longer than max-unhealthy-seconds; with SPANBUFD_TEST_LONG=1 two minutes,
# as long as a broker takes to restart on a bad day. The broker is one of this test's own.
. "$(dirname "$0")/lib/common.sh"
. "$ROOT/tests/lib/memory.sh"

outage=25
[ -z "${SPANBUFD_TEST_LONG:-}" ] || outage=120
start_redis
start_kafka 2
# 100 MB that do not compress: more than may be in flight.
generate --traces 1 --seed 59 >"$TMP/one"
python3 - "$TMP/one" >"$TMP/in" <<'EOF'
import base64, json, random, sys
dice = random.Random(59)
span = json.loads(open(sys.argv[1]).readline())
for n in range(2500):
    blob = base64.b64encode(dice.randbytes(30000)).decode()
    span.update(trace_id="%032x" % (n + 1), span_id="%016x" % (n + 1), parent_span_id=None,
                is_segment=True, attributes={"blob": {"type": "string", "value": blob}})
    print(json.dumps(span))
EOF
start_spanbufd --max-index-bytes 64MiB --timeout 20 --root-timeout 15 --max-unhealthy-seconds 10 \
    --kafka-consumer session.timeout.ms=$(((outage + 60) * 1000)) --shutdown-timeout 60
wait_until 40 board_says 'len(s)' 2
produce "$IN" <"$TMP/in" >/dev/null
wait_until 60 board_says 'total("read")' 2500
# Kafka hangs in the middle of the delivery: while it does, the clock stands.
wait_until 60 board_says 'w["flusher/0"]["in_flight"] > 0' True
kill -STOP "$APACHE_PID"
most=0
end=$(($(date +%s) + outage))
while [ "$(date +%s)" -lt $end ]; do
    flying=$(board 'w["flusher/0"]["in_flight"]')
    [ "$flying" -le "$most" ] || most=$flying
    board_says 'max(x["heartbeat_age_ms"] for x in w.values()) < 9000' True ||
        fail "a worker's loop does not turn"
done
echo "at most $most bytes in flight"
# The bound is 8 MiB and what one segment may have on top.
[ "$most" -gt $((1 << 20)) ] || fail "too little was in flight to tell"
[ "$most" -le $((18 << 20)) ] || fail "too much was in flight"
memory_is_bounded 2 64
board_says 'w["flusher/0"]["waiting_for"]' 1 || fail "nobody says that Kafka is waited for"
kill -CONT "$APACHE_PID"
wait_until 120 board_says 'total("delivered"), d["health"]' "(2500, 'healthy')"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
[ "$(grep -c 'revoked\|lost' "$TMP/log")" -eq 0 ] || fail "the membership did not survive"
stop_spanbufd 60
check "$TMP/in" --doubled 1000000
