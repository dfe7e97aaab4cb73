#!/bin/sh
# A key of each kind is deleted behind the daemon's back, running and stopped: every span is
# delivered all the same.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
: >"$TMP/in"
seed=100
for when in running stopped; do
    for kind in p l d b:; do
        seed=$((seed + 1))
        generate --traces 30 --seed $seed >"$TMP/part"
        cat "$TMP/part" >>"$TMP/in"
        start_spanbufd --timeout 300 --root-timeout 200
        produce "$IN" <"$TMP/part" >/dev/null
        wait_until 30 board_says 'total("open_spans")' "$(wc -l <"$TMP/part")"
        [ $when = running ] || stop_spanbufd
        # Marks are written when a batch is settled in part: make some, so that there is a d.
        [ $kind != d ] || for shard in 0 1; do redis_cli hset "$ID:{$shard}:d" x y >/dev/null; done
        keys=$(redis_cli keys "$ID:*:$kind*")
        [ -n "$keys" ] || fail "no key of kind $kind"
        # shellcheck disable=SC2086
        redis_cli del $keys >/dev/null
        [ $when = stopped ] || stop_spanbufd
        start_spanbufd --timeout 2 --root-timeout 1
        wait_until 40 all_out "$TMP/in"
        stop_spanbufd
    done
done
check "$TMP/in" --doubled 1000000
