#!/bin/sh
# A daemon is stopped for longer than its session, another one takes over and delivers; woken up,
# its flushers before all else, the first one writes nothing of what is not its own any more.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
GROUP=$ID NAMESPACE=$ID
options="--timeout 13 --root-timeout 12 --kafka-consumer session.timeout.ms=4000
    --kafka-consumer heartbeat.interval.ms=500"
# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options && one=$DAEMON
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' '(4, {0})'
generate --traces 200 --seed 71 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/in")"
board_says 'total("delivered")' 0 || fail "too slow to be stopped in time"
flusher=$(board 'w["flusher/0"]["pid"]')
ingest=$(board 'w["ingest/0"]["pid"]')
kill -STOP "$one" "$ingest" "$flusher"

# shellcheck disable=SC2086
INSTANCE=two-$ID && start_spanbufd $options && two=$DAEMON
wait_until 40 board_says 'len(s)' 4
wait_until 40 all_out "$TMP/in"
rebuilds=$(board 'total("rebuilds")')
kill -CONT "$flusher"
# Long enough for it to believe in its shards, if it did.
sleep 4
board_says 'total("rebuilds")' "$rebuilds" || fail "the woken flusher took shards of another"
kill -CONT "$ingest" "$one"
INSTANCE=one-$ID
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
generate --traces 100 --seed 72 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 40 all_out "$TMP/in"
DAEMON=$one && stop_spanbufd
INSTANCE=two-$ID DAEMON=$two && stop_spanbufd
check "$TMP/in"
