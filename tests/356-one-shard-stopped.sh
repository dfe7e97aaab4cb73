#!/bin/sh
# Somebody else's key in the place of one of a shard's, or entries in it: that shard stops, says
# what to do, and goes on when they are gone. The other shard is read, flushed and settled all the
# while.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

seed=500
# more PARTITION
more() {
    seed=$((seed + 1))
    generate --traces 20 --seed $seed | tee -a "$TMP/in" | produce "$IN" --partition "$1" >/dev/null
}

start_redis
start_kafka 2
start_spanbufd --timeout 2 --root-timeout 1
more 0
more 1
wait_until 40 all_out "$TMP/in"

# The list of batches: found by the append and the flusher; the position: by looking.
for key in l p; do
    : >"$TMP/log"
    [ "$(redis_cli exists "$ID:{0}:$key")" = 0 ] ||
        redis_cli rename "$ID:{0}:$key" "$ID:{0}:$key-away" >/dev/null
    redis_cli set "$ID:{0}:$key" foreign >/dev/null
    more 1
    [ $key != l ] || generate --traces 20 --seed 77 | tee "$TMP/held" |
        produce "$IN" --partition 0 >/dev/null
    wait_until 40 says 'ingest/0: shard 0 is stopped, and no other: .*WRONGTYPE.*delete it'
    more 1
    wait_until 40 all_out "$TMP/in"
    [ "$(redis_cli get "$ID:{0}:$key")" = foreign ] || fail "the foreign key is gone"
    cat "$TMP/held" >>"$TMP/in"
    : >"$TMP/held"
    if [ "$(redis_cli exists "$ID:{0}:$key-away")" = 1 ]; then
        redis_cli rename "$ID:{0}:$key-away" "$ID:{0}:$key" >/dev/null
    else
        redis_cli del "$ID:{0}:$key" >/dev/null
    fi
    wait_until 40 says 'ingest/0: shard 0 is stopped.*works again'
    more 0
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
wait_until 40 says 'flusher/0: shard 0 is stopped, and no other: .*WRONGTYPE.*delete it'
more 1
wait_until 40 all_out "$TMP/in"
for key in $keys; do
    [ "$(redis_cli hget "$key" foreign)" = yes ] || fail "the foreign key is gone"
    redis_cli del "$key" >/dev/null
done
cat "$TMP/held" >>"$TMP/in"
wait_until 40 says 'flusher/0: shard 0 is stopped.*works again'
wait_until 40 all_out "$TMP/in"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"

# Somebody else's entries in keys of ours are left out, whoever takes the shard anew.
redis_cli hset "$ID:{0}:d" foreign yes >/dev/null
redis_cli zadd "$ID:{0}:l" 0 foreign >/dev/null
signal_worker KILL flusher/0
more 0
more 1
wait_until 40 all_out "$TMP/in"
[ "$(redis_cli hget "$ID:{0}:d" foreign)" = yes ] || fail "the foreign mark is gone"

# Without all of its own a p says nothing.
: >"$TMP/log"
redis_cli hdel "$ID:{0}:p" tip >/dev/null
wait_until 40 says "flusher/0: shard 0 is stopped, and no other: .*delete the shard's key p"
more 1
wait_until 40 all_out "$TMP/in"
redis_cli del "$ID:{0}:p" >/dev/null
more 0
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in" --doubled 1000000
