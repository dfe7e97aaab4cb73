#!/bin/sh
# SIGTERM to one worker ends that one in order; a pause of all processes kills nobody; the death of
# the supervisor takes all workers within a second, and the next start goes on. Nothing is lost.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 200 --seed 71 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 12 --root-timeout 9 --max-unhealthy-seconds 5
wait_until 30 board_says 'd["health"], [x["paused"] for x in s]' "('healthy', [0, 0, 0, 0])"
produce "$IN" <"$TMP/in" >/dev/null
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/in")"

for worker in flusher/1 ingest/0; do
    signal_worker TERM "$worker"
    wait_until 20 board_says "[w['$worker'][k] for k in ('restarts', 'state', 'last_exit')]" \
        "[1, 'healthy', 'status 0']"
done
wait_until 30 board_says 'd["health"], [x["paused"] for x in s]' "('healthy', [0, 0, 0, 0])"

pids=$(board '" ".join(str(x["pid"]) for x in w.values())')
for pid in $DAEMON $pids; do kill -STOP "$pid"; done
silent() { board_says 'min(x["heartbeat_age_ms"] for x in w.values()) > 6000' True; }
wait_until 20 silent
# The supervisor first: it finds silent workers, and must not judge them by that.
for pid in $DAEMON $pids; do kill -CONT "$pid"; done
wait_until 20 grep -q 'the supervisor did not run for' "$TMP/log"
wait_until 20 board_says 'd["health"]' healthy
board_says '" ".join(str(x["pid"]) for x in w.values())' "$pids" || fail "the pause killed somebody"

kill -KILL "$DAEMON"
began=$(date +%s%N)
for pid in $DAEMON $pids; do wait_until 5 gone "$pid"; done
took=$((($(date +%s%N) - began) / 1000000))
[ "$took" -lt 1000 ] || fail "the workers were gone after $took ms only"
start_spanbufd --flusher-processes 2 --timeout 12 --root-timeout 9
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
