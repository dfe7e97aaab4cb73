#!/bin/sh
# A key of each kind is deleted behind the daemon's back, or a batch cut short, running and stopped:
# every span is delivered all the same. One shard for each kind.
# kafka: mock
# timeout: 200
. "$(dirname "$0")/lib/common.sh"

KINDS="p l d b short"

# break_shard KIND SHARD
break_shard() {
    case $1 in
        b | short) keys=$(redis_cli keys "$ID:{$2}:b:*") ;;
        # Marks are written when a batch is settled in part: make some, so that there is a d.
        d) keys="$ID:{$2}:d"; redis_cli hset "$keys" x y >/dev/null ;;
        *) keys="$ID:{$2}:$1" ;;
    esac
    [ -n "$keys" ] || fail "shard $2 has no key of kind $1"
    for key in $keys; do
        if [ "$1" = short ]; then
            redis_cli eval 'local value = redis.call("GET", KEYS[1])
                return redis.call("SET", KEYS[1], value:sub(1, #value / 2))' 1 "$key" >/dev/null
        else
            [ "$(redis_cli del "$key")" -eq 1 ] || fail "there was no $key"
        fi
    done
}

start_redis
start_kafka "$(echo "$KINDS" | wc -w)"
: >"$TMP/in"
seed=100
for when in running stopped; do
    seed=$((seed + 1))
    generate --traces 150 --seed $seed >"$TMP/part"
    cat "$TMP/part" >>"$TMP/in"
    start_spanbufd --timeout 300 --root-timeout 200
    produce "$IN" <"$TMP/part" >/dev/null
    wait_until 40 board_says 'total("open_spans")' "$(wc -l <"$TMP/part")"
    [ $when = running ] || stop_spanbufd
    shard=0
    for kind in $KINDS; do
        break_shard "$kind" "$shard"
        shard=$((shard + 1))
    done
    [ $when = stopped ] || NO_AUDIT=1 stop_spanbufd
    start_spanbufd --timeout 2 --root-timeout 1
    wait_until 60 all_out "$TMP/in"
    stop_spanbufd
done
check "$TMP/in" --doubled 1000000
