#!/bin/sh
# What would lose or mix data is refused with 78 and a remedy: a Redis that evicts, and a namespace
# that belongs to another topic.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis --maxmemory 100mb --maxmemory-policy allkeys-lru
start_kafka
start_spanbufd
ended 78
grep -q 'CONFIG SET maxmemory-policy noeviction' "$TMP/log" || fail "no remedy in the log"
redis_cli config set maxmemory-policy noeviction >/dev/null
NAMESPACE=shared
start_spanbufd
wait_until 20 board_says 'total("lives")' 4
first=$DAEMON
tell_mock topic other 4
INSTANCE=second GROUP=second IN=other
start_spanbufd
ended 78
grep -q 'namespace of its own' "$TMP/log" || fail "no remedy in the log"
DAEMON=$first INSTANCE=$ID GROUP=$ID IN=in-$ID
board_says 'd["health"]' healthy || fail "the first one was disturbed"

# Where Redis comes to evict while we run, all wait, and so does a worker that is replaced then.
redis_cli config set maxmemory-policy allkeys-lru >/dev/null
before=$(said 'ingest/0: .*CONFIG SET maxmemory-policy')
signal_worker KILL ingest/0
wait_until 20 board_says 'w["ingest/0"]["restarts"]' 1
wait_until 20 says 'ingest/0: .*CONFIG SET maxmemory-policy' "$before"
redis_cli config set maxmemory-policy noeviction >/dev/null
generate --traces 50 --seed 19 | tee "$TMP/in" | produce "$IN" >/dev/null
wait_until 40 all_out "$TMP/in"
stop_spanbufd
