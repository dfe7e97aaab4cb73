#!/bin/sh
# Two ingest workers share the partitions and every shard has a flusher of its own; without
# compression, and with a Redis that wants a password.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
echo secret >"$TMP/password"
redis_cli config set requirepass secret >/dev/null
start_kafka
start_spanbufd --ingest-workers 2 --flusher-processes auto --compression none \
    --redis-password-file "$TMP/password" --timeout 3 --root-timeout 2
wait_until 40 board_says 'sorted(x["holder"] for x in s), "ingest/1" in w' '([0, 1, 2, 3], True)'
# One worker may have all partitions until the group has seen the other: feed until both have read.
: >"$TMP/in"
seed=0
until board_says 'all(w[x]["progress"] for x in ("ingest/0", "ingest/1"))' True; do
    [ "$seed" -lt 20 ] || fail "one of the ingest workers reads nothing"
    seed=$((seed + 1))
    generate --traces 50 --seed "$seed" >"$TMP/part"
    cat "$TMP/part" >>"$TMP/in"
    produce "$IN" <"$TMP/part" >/dev/null
    wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/in")"
done
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
