#!/bin/sh
# An index that is full all the time pauses reading many times. While a shard is paused nothing of
# it is fetched, and it goes on where it stopped: a pause costs no more than what was read ahead,
# which the client throws away, and nothing is lost.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
generate --traces 2000 --seed 77 >"$TMP/in"
# Nothing falls due: what makes room for the rest leaves before its time.
start_spanbufd --timeout 600 --root-timeout 600 --max-index-bytes 64KiB --max-batch-size 100 \
    --kafka-consumer statistics.interval.ms=500 --kafka-consumer queued.max.messages.kbytes=1024 \
    --kafka-consumer fetch.message.max.bytes=65536
wait_until 30 board_says 'len(s)' 4
produce "$IN" <"$TMP/in" >/dev/null
wait_until 60 board_says 'total("read")' "$(wc -l <"$TMP/in")"
# The client's own count of the bytes of all messages that it was sent, and how often that was told.
told() { grep -o 'ingest/0: rdkafka.*rxmsg_bytes: [0-9]*' "$TMP/log"; }
told_since() { [ "$(told | wc -l)" -gt "$1" ]; }
wait_until 10 told_since "$(told | wc -l)"
fetched=$(told | tail -n 1 | sed 's/.* //')
# All four are held by one flusher, and so are paused together.
pauses=$(($(said 'is paused: its flusher does not keep up') / 4))
[ "$pauses" -ge 10 ] || fail "paused $pauses times: too few to tell"
# Read ahead are 1 MiB, and of each partition what one answer brings, which is a whole batch of the
# producer, of 1 MB at most. A message has 100 bytes beside its payload.
input=$(($(wc -c <"$TMP/in") + 100 * $(wc -l <"$TMP/in")))
bound=$((input + (pauses + 1) * 5 * 1048576))
echo "$pauses pauses: fetched $fetched bytes for $input, at most $bound"
[ "$fetched" -le "$bound" ] || fail "too much was fetched"
# Asked for a shorter time, the rest leaves as well.
stop_spanbufd
start_spanbufd --timeout 3 --root-timeout 2
wait_until 30 all_out "$TMP/in" --split 1000000
stop_spanbufd
check "$TMP/in" --split 1000000
