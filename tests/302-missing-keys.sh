#!/bin/sh
# A key of each kind is deleted behind the daemon's back, or a batch cut short, running and stopped:
# every span is delivered all the same.
# kafka: mock
# timeout: 400
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
: >"$TMP/in"
seed=100
for when in running stopped; do
    for kind in p l d b: short; do
        seed=$((seed + 1))
        generate --traces 30 --seed $seed >"$TMP/part"
        cat "$TMP/part" >>"$TMP/in"
        start_spanbufd --timeout 300 --root-timeout 200
        produce "$IN" <"$TMP/part" >/dev/null
        wait_until 30 board_says 'total("open_spans")' "$(wc -l <"$TMP/part")"
        [ $when = running ] || stop_spanbufd
        # Marks are written when a batch is settled in part: make some, so that there is a d.
        [ $kind != d ] || for shard in 0 1; do redis_cli hset "$ID:{$shard}:d" x y >/dev/null; done
        if [ $kind = short ]; then
            keys=$(redis_cli keys "$ID:*:b:*")
            for key in $keys; do
                redis_cli eval 'local value = redis.call("GET", KEYS[1])
                    return redis.call("SET", KEYS[1], value:sub(1, #value / 2))' 1 "$key" >/dev/null
            done
        else
            keys=$(redis_cli keys "$ID:*:$kind*")
            # shellcheck disable=SC2086
            redis_cli del $keys >/dev/null
        fi
        [ -n "$keys" ] || fail "no key of kind $kind"
        [ $when = stopped ] || NO_AUDIT=1 stop_spanbufd
        start_spanbufd --timeout 2 --root-timeout 1
        wait_until 40 all_out "$TMP/in"
        stop_spanbufd
    done
done
check "$TMP/in" --doubled 1000000
