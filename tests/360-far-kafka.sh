#!/bin/sh
# Brokers that answer late (60 ms, and more than a second) slow no clock: twelve shards fall due as
# time passes.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# The clocks in ms: of the one that is behind most.
slowest() { board 'int(__import__("time").time() * 1000) - max(x["clock_lag_ms"] for x in s)'; }
runs_to() {
    at=$(slowest)
    [ "$at" -ge "$1" ] || { echo "$at, not $1"; return 1; }
}

start_redis
start_kafka 12
start_spanbufd --timeout 600 --root-timeout 600
generate --traces 200 --seed 73 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("read")' "$(wc -l <"$TMP/in")"
tell_mock delay 60
wait_until 30 board_says 'all(x["clock_lag_ms"] is not None for x in s) and len(s)' 12
from=$(slowest)
wait_until 13 runs_to $((from + 10000))
tell_mock delay 1200
from=$(slowest)
# The lag grows once by what an answer takes.
wait_until 20 runs_to $((from + 16000))
tell_mock delay 0
stop_spanbufd
