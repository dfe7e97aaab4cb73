#!/bin/sh
# systemd is told the truth: ready without Kafka and Redis, what is waited for, reloads with their
# outcome, the stop; the watchdog is petted all along.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_kafka
tell_mock down
hear_notify
petted() { grep -c '^WATCHDOG=1$' "$TMP/told"; }
more_than() { [ "$(petted)" -gt "$1" ]; }

echo 'max-batch-size = 900' >"$TMP/conf"
export WATCHDOG_USEC=1000000
start_spanbufd --config "$TMP/conf" --flusher-processes 2 --shutdown-timeout 20
# Neither Kafka nor Redis is there, and that is no reason not to be ready.
wait_until 20 told '^READY=1$'
told '^EXTEND_TIMEOUT_USEC=150000000$' || fail "how long a start may take was not told"
told '^STATUS=starting: 0 of 3 workers healthy' || fail "a start is not called one"
wait_until 20 told '^STATUS=3 of 3 workers healthy, 0 shards, waiting for Kafka'
# Who looks right after READY=1 reads no line of before.
grep -A 1 '^READY=1$' "$TMP/told" | grep -q '^STATUS=3 of 3' || fail "an old line after READY"
wait_until 10 more_than $(($(petted) + 3))
expect_status 1 "$SPANBUFD" status --instance "$INSTANCE"
grep -q 'degraded: .*ingest/0 waits for Kafka' "$TMP/answer" || fail "status does not say why"
tell_mock up
wait_until 30 told '^STATUS=3 of 3 workers healthy, 4 shards, waiting for Redis'
start_redis
wait_until 30 told '^STATUS=3 of 3 workers healthy, 4 shards$'
wait_until 20 board_says 'd["health"], sum(x["restarts"] for x in w.values())' "('healthy', 0)"

: >"$TMP/told"
echo 'max-batch-size = 800' >"$TMP/conf"
expect_status 0 "$SPANBUFD" reload --instance "$INSTANCE"
wait_until 10 told '^READY=1$'
# systemd wants the monotonic time of the beginning, and what happened before is not new to it.
begun=$(sed -n 's/^RELOADING=1 MONOTONIC_USEC=\([0-9]*\)$/\1/p' "$TMP/told")
[ -n "$begun" ] || fail "the beginning of the reload was not told"
now=$(python3 -c 'import time; print(time.monotonic_ns() // 1000)')
if [ "$begun" -gt "$now" ] || [ "$begun" -lt $((now - 100000000)) ]; then
    fail "begun at $begun, and now it is $now"
fi
echo 'max-batch-size = none' >"$TMP/conf"
expect_status 78 "$SPANBUFD" reload --instance "$INSTANCE"
wait_until 10 told '^STATUS=.*, the last reload was refused$'
[ "$(grep -c '^READY=1$' "$TMP/told")" -eq 2 ] || fail "systemd waits for the end of a reload"

kill -USR1 "$DAEMON"
wait_until 10 grep -q 'INFO  WORKER .*PID STATE' "$TMP/log"
stop_spanbufd
told '^STOPPING=1 EXTEND_TIMEOUT_USEC=22000000$' || fail "the stop was not told"
[ "$(grep -c WATCHDOG "$TMP/told")" -gt 0 ] || fail "the watchdog was not petted"
