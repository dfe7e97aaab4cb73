#!/bin/sh
# Status answers to other users if permitted, and while the supervisor is stuck; its exit status
# says how things are.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 50 >"$TMP/in"
expect_status 2 "$SPANBUFD" status --instance "nobody-$ID"
expect_status 2 "$SPANBUFD" status --json --instance "nobody-$ID"
start_spanbufd --flusher-processes 2 --timeout 120 --root-timeout 100
produce "$IN" <"$TMP/in"
wait_until 20 board_says 'total("open_spans"), d["health"]' "($(wc -l <"$TMP/in"), 'healthy')"
status() { "$SPANBUFD" status --instance "$INSTANCE"; }
expect_status 0 status
for word in healthy 'up ' PID STATE AGE RESTARTS LAST-EXIT HEARTBEAT PROGRESS RSS WAITING-FOR \
    HOLDER CLOCK-LAG OPEN-SEGMENTS OLDEST-DUE INDEX LAG FLOOR-LAG FLOOR-AGE STATE flowing \
    'a second, since the start: read' 'total: read'; do
    grep -q -- "$word" "$TMP/answer" || { cat "$TMP/answer"; fail "no $word"; }
done
# All is read, nothing is settled: the position has no lag, the floor has all of it.
board_says 'total("position_lag"), total("floor_lag")' "(0, $(wc -l <"$TMP/in"))" || fail "lags"
board_says 'all(x["floor_age_ms"] >= 0 and x["index"] > 0 and x["overdue_ms"] < 0
    and x["clock_lag_ms"] is not None for x in s if x["open_spans"])' True || fail "ages"

# Redrawn each second, the second time with the rates of the moment; ends when nobody reads.
timeout 30 "$SPANBUFD" status --watch --instance "$INSTANCE" | grep -m 1 -q 'a second, now: read' ||
    fail "--watch shows no rates of the moment"

cp "$SPANBUFD" "$TMP/spanbufd" && chmod 755 "$TMP" "$TMP/spanbufd"
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/spanbufd" "$@"; }
expect_status 3 as_nobody status --instance "$INSTANCE"
grep -q 'Permission denied' "$TMP/answer" || fail "status does not say what it may not read"
chmod 644 "/dev/shm/spanbufd.$INSTANCE"
expect_status 0 as_nobody status --instance "$INSTANCE"
grep -Eq 'flusher/1 .* healthy .*[0-9][KM] ' "$TMP/answer" || fail "nobody sees no memory"

kill -STOP "$DAEMON"
stuck() {
    status >"$TMP/text"
    [ $? -eq 1 ] && grep -q "the supervisor's last turn is" "$TMP/text"
}
wait_until 15 stuck
kill -CONT "$DAEMON"
wait_until 10 board_says 'd["health"]' healthy
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
expect_status 2 status
