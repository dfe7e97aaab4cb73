#!/bin/sh
# Memory is bounded: no process passes what spanbufd-design(7), Memory, states, with a trace that is
# larger than any segment, a great many traces of one span, messages of 10,000 spans, and an index
# that is full; under a limit of the address space. 307 asks the same while the output is stuck. And
# no key is so large that a call of ours would hold Redis up.
# kafka: apache
# timeout: 3000
#
# SPANBUFD_BIG=1: a trace of 1 GB, a million traces.
. "$(dirname "$0")/lib/common.sh"
. "$ROOT/tests/lib/memory.sh"

spans=20000 traces=15000 index=4 patience=240
[ -z "${SPANBUFD_BIG:-}" ] || spans=2400000 traces=1000000 index=64 patience=2400
# Resident memory and what is only reserved: threads' stacks and heaps, the program itself.
space=512
# 10,000 spans have 11.5 MB.
SEGMENT_MIB=16

# No call takes 200 ms of Redis, and what goes is freed beside its loop.
redis_is_not_held_up() {
    [ "$(redis_cli slowlog len)" -eq 0 ] ||
        fail "slow calls: $(redis_cli slowlog get 5 | cut -c 1-100)"
    redis_cli info commandstats | sed 's/:calls=/ /; s/,.*usec_per_call=/ /; s/,.*//' >"$TMP/calls"
    grep 'cmdstat_\(set\|getrange\|evalsha\|unlink\|del\) ' "$TMP/calls"
    grep -q 'cmdstat_unlink ' "$TMP/calls" || fail "nothing was unlinked"
    if grep -q 'cmdstat_del ' "$TMP/calls"; then fail "keys are freed in Redis's own loop"; fi
}

start_redis --slowlog-log-slower-than 200000
start_kafka 2
start_spanbufd --timeout 5 --root-timeout 4 --max-index-bytes "${index}MiB" --compression none \
    --max-segment-bytes ${SEGMENT_MIB}MiB
wait_until 60 board_says 'len(s)' 2
for kind in supervisor ingest flusher; do
    prlimit --pid "$(pid_of $kind)" --as=$((space << 20))
done
{
    generate --traces 1 --spans-per-trace "$spans" --seed 81
    generate --traces 1 --spans-per-trace 10000 --seed 83
    generate --traces "$traces" --spans-per-trace 1 --seed 82
} | tee "$TMP/in" | produce "$IN" >/dev/null
count=$(wc -l <"$TMP/in")
wait_until $patience board_says 'total("life_read"), total("buffered")' "($count, 0)"
echo "$count spans, $(stat -c %s "$TMP/in") bytes"
memory_is_bounded 2 $index
redis_is_not_held_up
consume "$OUT" --timeout 600 | python3 -c '
import json, sys
sizes = [len(json.loads(json.loads(line)["value"])["spans"]) for line in sys.stdin]
print(len(sizes), "messages, the largest of", max(sizes), "spans")
sys.exit(max(sizes) < 10000)' || fail "no message of 10,000 spans"
stop_spanbufd 60
