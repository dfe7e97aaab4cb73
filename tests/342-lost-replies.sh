#!/bin/sh
# Calls that reach Redis and lose their replies, or half of them, of every script and of what reads:
# every span comes out exactly once. Replies that drip hold nobody for longer than a call may take.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# lost_of SCRIPT: how many replies of it were lost.
lost_of() { grep -Ec "^$1(.lua)?$" "$TMP/lost" 2>/dev/null || true; }
is_lost() { [ "$(lost_of "$1")" -gt 0 ]; }

start_redis
start_kafka 2
touch "$TMP/faults"
# shellcheck disable=SC2046
python3 "$ROOT/tests/lib/proxy.py" "$TMP/proxy.sock" "$REDIS_SOCKET" "$TMP/faults" "$TMP/lost" \
    $(for script in begin append take settle clean; do echo "$ROOT/src/store/$script.lua:2"; done) \
    "$ROOT/src/store/drop.lua:1" GETRANGE:9 HGETALL:9 &
started $!
wait_until 5 test -S "$TMP/proxy.sock"

# One span in 150 is a trace whose root never comes: the rest of its batch is cleaned.
# No trace lies in two parts, which come seconds apart.
for nth in 1 2 3 4; do
    generate --traces 60 --seed "6$nth" | awk -v nth=$nth 'NR % 150 == 0 {
        printf "{\"organization_id\":1,\"project_id\":9,\"trace_id\":\"open%d-%d\"," \
            "\"span_id\":\"o%d-%d\",\"parent_span_id\":\"never\",\"start_timestamp\":1," \
            "\"end_timestamp\":2,\"received\":3,\"retention_days\":90,\"status\":\"ok\"}\n", \
            nth, NR, nth, NR } { print }' >"$TMP/part.$nth"
done
cat "$TMP"/part.* >"$TMP/in"
# The flags name the proxy, not the Redis.
REDIS_IN_FILE=1 start_spanbufd --redis-url "redis+unix://$TMP/proxy.sock" \
    --flusher-processes 2 --timeout 8 \
    --root-timeout 2
sent=0
for part in "$TMP"/part.*; do
    produce "$IN" <"$part" >/dev/null
    sent=$((sent + $(wc -l <"$part")))
    wait_until 30 board_says 'total("read")' "$sent"
done
for script in append take settle clean GETRANGE HGETALL; do wait_until 30 is_lost "$script"; done
wait_until 60 all_out "$TMP/in"
says 'bytes are missing from the store' && fail "fetched by an index that a cleaning had overtaken"

# Something is missing: the rest is dropped, and read again though nobody hears that it was.
flushers=$(board "' '.join(str(w[f'flusher/{nth}']['pid']) for nth in (0, 1))")
# shellcheck disable=SC2086
kill -STOP $flushers
generate --traces 60 --seed 65 >"$TMP/part.5"
cat "$TMP/part.5" >>"$TMP/in"
produce "$IN" <"$TMP/part.5" >/dev/null
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in")"
# shellcheck disable=SC2046
redis_cli del $(redis_cli keys "$ID:*:b:*") >/dev/null
# shellcheck disable=SC2086
kill -CONT $flushers
wait_until 30 is_lost drop
rm "$TMP/faults"
wait_until 60 all_out "$TMP/in"

: >"$TMP/log"
touch "$TMP/faults.drip"
for who in ingest flusher; do wait_until 20 says "$who/0: .*cannot read from"; done
# A call takes no longer than its bound.
loops_turn 10 8000
rm "$TMP/faults.drip"
generate --traces 60 --seed 66 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 60 all_out "$TMP/in"
for script in begin append take settle clean drop GETRANGE HGETALL; do
    echo "replies lost of $script: $(lost_of "$script")"
done
board_says "sum(x['restarts'] for x in w.values())" 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in"
