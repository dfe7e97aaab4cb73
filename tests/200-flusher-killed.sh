#!/bin/sh
# A flusher that is killed is replaced and builds its index again; no span is lost.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 400 --seed 11 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 6 --root-timeout 4
produce "$IN" <"$TMP/in"
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/in")"
for flusher in 0 1; do
    signal_worker KILL "flusher/$flusher"
    worker=flusher/$flusher
    wait_until 10 board_says "[w['$worker'][k] for k in ('restarts', 'state')]" "[1, 'healthy']"
done
expect_obituary 'flusher/0 .*signal 9'
wait_until 40 all_out "$TMP/in"
stop_spanbufd
# Full buffers and nothing in flight: nothing is doubled either.
check "$TMP/in"
