#!/bin/sh
# Brokers that answer late (60 ms, and more than a second) slow no clock, and one that is dead only
# those of the partitions that it leads: eleven or twelve shards fall due as time passes.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# The clocks in ms: of the one that is behind most, of the first so many.
all=12
slowest() {
    board 'int(__import__("time").time() * 1000) - max(x["clock_lag_ms"] for x in s[:'$all'])'
}
runs_to() {
    at=$(slowest)
    [ "$at" -ge "$1" ] || { echo "$at, not $1"; return 1; }
}

start_redis
ID=${TMP##*.} IN=in-$ID OUT=out-$ID
start_mock --brokers 2 "$IN:12" "$OUT:2"
for partition in 0 1 2 3 4 5 6 7 8 9 10; do tell_mock leader "$IN" "$partition" 1; done
tell_mock leader "$IN" 11 2
tell_mock coordinator "$ID" 1
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
all=11
tell_mock down 2
from=$(slowest)
wait_until 13 runs_to $((from + 10000))
wait_until 20 says 'partitions do not answer.*: 11: .*look at their leaders'
[ "$(said 'partitions do not answer')" -eq 1 ] || fail "others are said not to answer"
tell_mock up 2
all=12
# What its clock has missed stays missed.
wait_until 20 says 'partitions do not answer.*works again'
stop_spanbufd
