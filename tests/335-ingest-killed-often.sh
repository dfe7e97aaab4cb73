#!/bin/sh
# Ingest is killed at random again and again under load: every span is in exactly one segment, once.
# $SPANBUFD_TEST_KILLS (default 8) says how often; there are some 2,000 spans to a kill.
# kafka: apache
# timeout: 900
. "$(dirname "$0")/lib/common.sh"

kills=${SPANBUFD_TEST_KILLS:-8}
start_redis
start_kafka 4
# Restarts are counted within a second only, so that none is held back.
start_spanbufd --timeout 5 --root-timeout 4 --flusher-processes 2 --restart-window 1
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' '(4, {0})'
generate --traces $((kills * 200)) --seed 79 >"$TMP/in"
split -n "l/$((kills * 4))" -a 4 "$TMP/in" "$TMP/part."
for part in "$TMP"/part.*; do produce "$IN" <"$part" >/dev/null; done &
load=$!
started $load

is_new() { pid=$(board 'w["ingest/0"]["pid"]') && [ "$pid" -gt 1 ] && [ "$pid" != "$killed" ]; }
killed=0
for kill in $(seq "$kills"); do
    wait_until 30 is_new
    # Between its birth and some way into reading.
    sleep "$(awk -v seed="$kill" 'BEGIN { srand(seed); print rand() * 1.2 }')"
    kill -KILL "$pid" || fail "ingest was gone"
    killed=$pid
done
wait_until 300 gone $load
wait_until 120 all_out "$TMP/in"
board_says 'w["ingest/0"]["restarts"]' "$kills" || fail "not killed $kills times"
stop_spanbufd
echo "ingest killed $kills times:"
check "$TMP/in"
