#!/bin/sh
# How long a killed flusher is missed: median, min and max of N kills of the real daemon, in ms.
#
# `sh tests/bench/restart.sh [N]` (20): builds for release, starts a Redis, a mock cluster and a
# daemon of its own with some thousand open spans in four shards, and ends them again. The goal is
# a median below 10 ms until the replacement is healthy and flushing.
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${BENCH_BUILT:-}" ]; then
    (cd "$ROOT" && cargo build --quiet --release --bins --examples)
    # A PID namespace: what is killed here is nobody else's.
    BENCH_BUILT=1 exec unshare --pid --fork --mount-proc --kill-child sh "$0" "$@"
fi
SPANBUFD=${SPANBUFD:-$ROOT/target/release/spanbufd}
TESTKIT=${TESTKIT:-$ROOT/target/release/examples/testkit}
. "$ROOT/tests/lib/common.sh"

# shellcheck disable=SC2119
start_redis
start_kafka 4
start_spanbufd --flusher-processes 2 --max-shards 16 --timeout 3600 --root-timeout 3600 \
    --max-segment-age 7200 --redis-ttl 20000 --restart-window 1 --max-restarts 100000
generate --traces 1000 --seed 67 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("open_spans"), d["health"]' "($(wc -l <"$TMP/in"), 'healthy')"
"$TESTKIT" restarts "$INSTANCE" "${1:-20}"
# shellcheck disable=SC2119
stop_spanbufd
