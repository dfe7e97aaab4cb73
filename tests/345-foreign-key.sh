#!/bin/sh
# Somebody else's key in the place of l: an append fails whole. A position that moved without its
# batch being listed would be a hole that no counter shows.
# kafka: none
. "$(dirname "$0")/lib/common.sh"

# One batch of 4 messages, offsets 5 to 9, as the daemon appends it.
append() {
    redis_cli --eval "$ROOT/src/store/append.lua" p l b , one 5 '' 9 77 60 id 5 id:3 4 2>&1 || true
}

start_redis
redis_cli hset p life one position 5 tip '' batches 0 >/dev/null
redis_cli set b value >/dev/null
redis_cli set l foreign >/dev/null
append | grep -q WRONGTYPE || fail "the foreign key was not noticed"
[ "$(redis_cli hget p position)" = 5 ] || fail "the position moved without a batch"
redis_cli del l >/dev/null
append | grep -q "done" || fail "the same append does not pass afterwards"
[ "$(redis_cli hget p position) $(redis_cli hget p batches) $(redis_cli zcard l)" = "9 1 1" ] ||
    fail "the batch does not count"
