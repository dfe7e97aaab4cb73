#!/bin/sh
# A trace of a great many spans, and a great many traces of one span: no process passes the bound
# that spanbufd-design(7) states. SPANBUFD_BIG=1 makes the trace 1 GB and the traces a million.
# kafka: mock
# timeout: 3000
. "$(dirname "$0")/lib/common.sh"

spans=30000 traces=15000
[ -z "${SPANBUFD_BIG:-}" ] || spans=1300000 traces=1000000
INDEX_MIB=64

start_redis
start_kafka 2
# One batch of 1 MiB at the most; two shards; segments of 10 MiB.
start_spanbufd --timeout 5 --root-timeout 4 --max-index-bytes "${INDEX_MIB}MiB" \
    --compression none
generate --traces 1 --spans-per-trace "$spans" --seed 81 | produce "$IN" >/dev/null
generate --traces "$traces" --spans-per-trace 1 --seed 82 | produce "$IN" >/dev/null
read=$("$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" | python3 -c '
import json, sys
print(sum(json.loads(line)["high"] for line in sys.stdin))')
wait_until 2400 board_says 'total("life_read"), total("buffered")' "($read, 0)"

# peak PID: the most that was resident, in MiB.
peak() { awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$1/status"; }
within() {
    echo "$1: $3 MiB of $2 at most"
    [ "$3" -le "$2" ] || fail "$1 had $3 MiB, its bound is $2"
}
within supervisor 32 "$(peak "$DAEMON")"
# Prefetched, drafted and packed; and the process itself.
within ingest $((32 + 2 * 4 + 24)) "$(peak "$(board "w['ingest/0']['pid']")")"
# Index, in flight, a round, a segment three times, a page; and the process itself.
within flusher $((INDEX_MIB + 64 + 128 + 3 * 11 + 8 + 24)) \
    "$(peak "$(board "w['flusher/0']['pid']")")"
stop_spanbufd 60
