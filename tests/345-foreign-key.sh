#!/bin/sh
# Somebody else's key in the place of l or d: each script fails whole, and deletes nothing. A
# position that moved without its batch being listed, or a batch that went without being counted,
# would be a hole; what is somebody else's is not ours to delete.
# kafka: none
. "$(dirname "$0")/lib/common.sh"

script() { name=$1; shift; redis_cli --eval "$ROOT/src/store/$name.lua" "$@" 2>&1 || true; }
# fails WHAT…: the script does, for the foreign key, which stays.
fails() {
    "$@" | grep -q WRONGTYPE || fail "the foreign key in the place of $foreign was not noticed: $*"
    [ "$(redis_cli get "$foreign")" = foreign ] || fail "the foreign key $foreign is gone: $*"
}
# is VALUE COMMAND…: Redis answers so.
is() {
    wanted=$1; shift
    [ "$(redis_cli "$@" | tr '\n' ' ')" = "$wanted " ] || fail "not $wanted: $*"
}

# One batch of 4 messages, offsets 5 to 9, as the daemon appends it.
append() { script append p l b , one 5 '' 9 77 60 id 5 id:3 4; }
# It is delivered, and nothing is left of it.
settle() { script settle p l d b , mine 60 4 0 0 0 0 id id:3 ''; }
begin() { script begin p l d , two 9 one cluster topic group 60; }
drop() { script drop p l d b , mine one; }
clean() { script clean p l d carry b , mine 60 5 carry:3 5 id id:3 ''; }

start_redis
redis_cli hset p life one position 5 tip '' batches 0 marked 0 >/dev/null
redis_cli set b value >/dev/null
foreign=l
redis_cli set l foreign >/dev/null
fails append
is 5 hget p position
redis_cli del l >/dev/null
append | grep -q "done" || fail "the same append does not pass afterwards"
is "9 1" hmget p position batches
is 1 zcard l

redis_cli hset p epoch mine >/dev/null
for foreign in l d; do
    redis_cli rename $foreign away >/dev/null 2>&1 || true
    redis_cli set $foreign foreign >/dev/null
    redis_cli set carry carry >/dev/null
    for what in settle begin drop clean; do fails $what; done
    is "one 9 1" hmget p life position batches
    is 1 exists b
    is 0 exists carry
    redis_cli del $foreign >/dev/null
    redis_cli rename away $foreign >/dev/null 2>&1 || true
    is 1 zcard l
done
settle | grep -q "done" || fail "the same settle does not pass afterwards"
is "0 4" hmget p batches delivered
is 0 exists b
