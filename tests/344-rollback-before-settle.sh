#!/bin/sh
# Redis goes back in time while something is delivered and not yet settled: what that settle would
# have recorded is of a past that is gone, and the books go back as well.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

settled() { [ "$(redis_cli hget "$ID:{0}:p" delivered)" = "$1" ]; }

start_redis
start_kafka 1
for nth in 1 2; do generate --traces 30 --seed "7$nth" >"$TMP/part.$nth"; done
cat "$TMP"/part.* >"$TMP/in"
start_spanbufd --timeout 4 --root-timeout 4
first=$(wc -l <"$TMP/part.1")
all=$(wc -l <"$TMP/in")
produce "$IN" <"$TMP/part.1" >/dev/null
wait_until 30 board_says 's[0]["open_spans"]' "$first"
redis_cli save >/dev/null
epoch=$(redis_cli hget "$ID:{0}:p" epoch)
wait_until 30 settled "$first"
produce "$IN" <"$TMP/part.2" >/dev/null
wait_until 30 board_says 's[0]["open_spans"]' "$((all - first))"
# Whoever writes waits; what is due is still read, and delivered.
redis_cli client pause 60000 write >/dev/null
wait_until 30 board_says 'total("delivered")' "$all"
# The flusher is the first to notice; what it knows must reach ingest all the same.
signal_worker STOP ingest/0
kill -KILL "$REDIS"
wait_until 10 gone "$REDIS"
start_redis
wait_until 30 says 'flusher/0: shard 0: the store went another way'
(wait_until 1 board_says 's[0]["rebuilds"] > 1' True) 2>"$TMP/taken" || true
[ "$(redis_cli hget "$ID:{0}:p" epoch)" = "$epoch" ] || fail "a store that is behind was taken"
signal_worker CONT ingest/0
wait_until 30 says 'ingest/0: shard 0: the store is not what we left there'
went_back='[s[0][x] for x in ("position", "buffered", "unaccounted")] + [s[0]["rebuilds"] > 1]'
wait_until 30 board_says "$went_back" "[$all, 0, 0, True]"
stop_spanbufd
if grep 'do not balance' "$TMP/log"; then fail "the books did not go back"; fi
check "$TMP/in"
