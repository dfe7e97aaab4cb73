#!/bin/sh
# Somebody else's key in the place of one of a shard's, or entries in it: that shard stops, says
# what to do, and goes on when they are gone. The other shard is read, flushed and settled all the
# while.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

# occupy KEY: somebody else's is in the place of shard 0's; clear KEY: that goes, ours is back.
occupy() {
    : >"$TMP/log"
    redis_cli rename "$ID:{0}:$1" "$ID:{0}:$1-away" >/dev/null 2>&1 || true
    redis_cli set "$ID:{0}:$1" foreign >/dev/null
}
clear() {
    [ "$(redis_cli get "$ID:{0}:$1")" = foreign ] || fail "the foreign key is gone"
    redis_cli del "$ID:{0}:$1" >/dev/null
    redis_cli rename "$ID:{0}:$1-away" "$ID:{0}:$1" >/dev/null 2>&1 || true
}
stopped() { wait_until 40 says "$1: shard 0 is stopped, and no other: .*WRONGTYPE.*delete it"; }
goes_on() { wait_until 40 says "$1: shard 0 is stopped.*works again"; }

start_redis
start_kafka 2
# There before a life began.
for key in l d; do
    redis_cli flushall >/dev/null
    occupy $key
    start_spanbufd --timeout 2 --root-timeout 1
    stopped ingest/0
    more 20 --partition 1
    wait_until 40 all_out "$TMP/in"
    clear $key
    goes_on ingest/0
    more 20 --partition 0
    wait_until 40 all_out "$TMP/in"
    [ $key = d ] || stop_spanbufd
done

# What is settled: found by the flusher when something has been delivered, which is not sent again.
lives=$(board 'total("lives")')
occupy d
more 20 --partition 0
stopped flusher/0
more 20 --partition 1
wait_until 40 all_out "$TMP/in"
clear d
goes_on flusher/0
more 20 --partition 0
wait_until 40 all_out "$TMP/in"
board_says 'total("lives")' "$lives" || fail "a life was dropped for it"
check "$TMP/in"

# The list of batches: found by the append and the flusher; the position: by looking.
for key in l p; do
    occupy $key
    more 20 --partition 1
    [ $key != l ] || generate --traces 20 --seed 77 | tee "$TMP/held" |
        produce "$IN" --partition 0 >/dev/null
    stopped ingest/0
    more 20 --partition 1
    wait_until 40 all_out "$TMP/in"
    cat "$TMP/held" >>"$TMP/in"
    : >"$TMP/held"
    clear $key
    goes_on ingest/0
    more 20 --partition 0
    wait_until 40 all_out "$TMP/in"
done

# The values of its batches: found by the flusher when they are due. What is in them is gone with
# the foreign keys, and is read again.
: >"$TMP/log"
signal_worker STOP flusher/0
generate --traces 20 --seed 78 | tee "$TMP/held" | produce "$IN" --partition 0 >/dev/null
has_batches() { [ -n "$(redis_cli keys "$ID:{0}:b:*")" ]; }
wait_until 20 has_batches
keys=$(redis_cli keys "$ID:{0}:b:*")
for key in $keys; do
    redis_cli del "$key" >/dev/null
    redis_cli hset "$key" foreign yes >/dev/null
done
signal_worker CONT flusher/0
stopped flusher/0
more 20 --partition 1
wait_until 40 all_out "$TMP/in"
for key in $keys; do
    [ "$(redis_cli hget "$key" foreign)" = yes ] || fail "the foreign key is gone"
    redis_cli del "$key" >/dev/null
done
cat "$TMP/held" >>"$TMP/in"
goes_on flusher/0
wait_until 40 all_out "$TMP/in"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"

# Somebody else's entries in keys of ours are left out, whoever takes the shard anew.
redis_cli hset "$ID:{0}:d" foreign yes >/dev/null
redis_cli zadd "$ID:{0}:l" 0 foreign >/dev/null
signal_worker KILL flusher/0
more 20 --partition 0
more 20 --partition 1
wait_until 40 all_out "$TMP/in"
[ "$(redis_cli hget "$ID:{0}:d" foreign)" = yes ] || fail "the foreign mark is gone"

# Without all of its own a p says nothing.
: >"$TMP/log"
redis_cli hdel "$ID:{0}:p" tip >/dev/null
wait_until 40 says "flusher/0: shard 0 is stopped, and no other: .*delete the shard's key p"
more 20 --partition 1
wait_until 40 all_out "$TMP/in"
redis_cli del "$ID:{0}:p" >/dev/null
more 20 --partition 0
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
