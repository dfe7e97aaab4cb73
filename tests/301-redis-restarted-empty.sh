#!/bin/sh
# redis-server is killed and comes back empty: every span is delivered, the status shows meanwhile
# that quiet shards wait, too, and no worker is killed for having waited.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 300 --seed 19 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 15 --root-timeout 12
split -n l/2 "$TMP/in" "$TMP/part."
produce "$IN" <"$TMP/part.aa" >/dev/null
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/part.aa")"
kill -KILL "$REDIS"
wait_until 10 gone "$REDIS"
wait_until 20 board_says '{x["paused"] for x in s}' '{2}'
"$SPANBUFD" status --instance "$INSTANCE" | grep -q 'waits for Redis for' ||
    fail "the status does not say what is waited for"
produce "$IN" <"$TMP/part.ab" >/dev/null
wait_until 20 board_says "w['ingest/0']['waiting_for']" 2
start_redis
wait_until 60 all_out "$TMP/in"
board_says "sum(x['restarts'] for x in w.values())" 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in" --doubled 1000000
