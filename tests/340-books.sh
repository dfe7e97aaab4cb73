#!/bin/sh
# The books balance: of each life all that was read is delivered, buffered, a repeat, a dead letter
# or dropped; with workers killed, over a restart, and after Redis was emptied.
# kafka: mock
# timeout: 180
. "$(dirname "$0")/lib/common.sh"

assigned() { [ "$(grep -c 'ingest/0: assigned 4 shards' "$TMP/log")" -eq "$1" ]; }
# The books of all shards together.
life='[total("life_" + kind) for kind in ("read", "delivered", "duplicates", "dead_letters")]'

start_redis
start_kafka
# Repeats within one segment are left out and counted.
generate --traces 150 --seed 41 --invalid 0.05 | awk 'NR % 9 == 0 { print } { print }' >"$TMP/in"
count=$(wc -l <"$TMP/in")
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2 --dead-letter-topic "$DEAD"
wait_until 30 assigned 1
split -n l/4 "$TMP/in" "$TMP/part."
for part in "$TMP"/part.*; do
    produce "$IN" <"$part" >/dev/null
    signal_worker KILL flusher/0
done
signal_worker KILL ingest/0
signal_worker KILL flusher/1
wait_until 30 assigned 2
wait_until 60 board_says 'len(s), total("life_read"), total("buffered")' "(4, $count, 0)"
wait_until 10 balanced
before=$(board "$life")
board 'total("life_duplicates") > 0 and total("life_dead_letters") > 0' | grep -q True ||
    fail "nothing was repeated or dead: $before"
stop_spanbufd

# The books are the life's, not the daemon's.
start_spanbufd --flusher-processes 2 --timeout 10 --root-timeout 9 --dead-letter-topic "$DEAD"
wait_until 30 board_says "$life" "$before"

# What a loss of Redis takes away is counted, and read again into the next life.
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("life_read")' $((2 * count))
redis_cli flushall >/dev/null
wait_until 30 board_says 'total("reread") > 0, total("lives") == len(s)' '(True, True)'
reread=$(board 'total("reread")')
wait_until 60 board_says 'total("life_read") >= '"$reread"', total("buffered")' '(True, 0)'
stop_spanbufd
all_out "$TMP/in" || fail "something is lost"
