#!/bin/sh
# An index that is full all the time pauses reading many times. While a shard is paused nothing of
# it is fetched, and it goes on where it stopped: a pause costs no more than what was read ahead,
# which the client throws away, and nothing is lost. And between two pauses a twentieth of the index
# is filled.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4

# The client's own count of the bytes of all messages that it was sent, and how often that was told.
told() { grep -o 'ingest/0: rdkafka.*rxmsg_bytes: [0-9]*' "$TMP/log"; }
told_since() { [ "$(told | wc -l)" -gt "$1" ]; }

# pauses_for TRACES INDEX [flags…]: so many are read through a full index; sets pauses.
pauses_for() {
    generate --traces "$1" --seed 77 >"$TMP/in"
    limit=$2; shift 2
    : >"$TMP/log"
    # Nothing falls due: what makes room for the rest leaves before its time.
    start_spanbufd --timeout 600 --root-timeout 600 --max-index-bytes "$limit" "$@" \
        --kafka-consumer statistics.interval.ms=500 \
        --kafka-consumer queued.max.messages.kbytes=1024 \
        --kafka-consumer fetch.message.max.bytes=65536
    wait_until 30 board_says 'len(s)' 4
    produce "$IN" <"$TMP/in" >/dev/null
    wait_until 60 board_says 'total("read")' "$(wc -l <"$TMP/in")"
    wait_until 10 told_since "$(told | wc -l)"
    fetched=$(told | tail -n 1 | sed 's/.* //')
    # All four are held by one flusher, and so are paused together.
    pauses=$(($(said 'is paused: its flusher does not keep up') / 4))
    # Read ahead are 1 MiB, and of each partition what one answer brings, which is a whole batch of
    # the producer, of 1 MB at most. A message has 100 bytes beside its payload.
    input=$(($(wc -c <"$TMP/in") + 100 * $(wc -l <"$TMP/in")))
    bound=$((input + (pauses + 1) * 5 * 1048576))
    echo "$pauses pauses: fetched $fetched bytes for $input, at most $bound"
    [ "$fetched" -le "$bound" ] || fail "too much was fetched"
}

# Asked for a shorter time, the rest leaves as well.
all_leave() {
    stop_spanbufd
    start_spanbufd --timeout 3 --root-timeout 2
    wait_until 30 all_out "$TMP/in" --split 1000000
    stop_spanbufd
    check "$TMP/in" --split 1000000
}

pauses_for 2000 64KiB --max-batch-size 100
[ "$pauses" -ge 10 ] || fail "paused $pauses times: too few to tell"
all_leave

# A larger index, filled and emptied in small bites.
IN=more-$IN OUT=more-$OUT GROUP=more-$ID NAMESPACE=more-$ID
tell_mock topic "$IN" 4
tell_mock topic "$OUT" 2
pauses_for 3600 4MiB --max-batch-size 20 --max-flush-segments 10
filled=$(board 'int(w["flusher/0"]["index"] / total("buffered") * total("read"))')
most=$((1 + (filled - 4194304) / (4194304 / 20)))
echo "$pauses pauses while $filled bytes of the index were filled, at most $most"
[ "$pauses" -ge 3 ] || fail "paused $pauses times: too few to tell"
[ "$pauses" -le $most ] || fail "paused too often"
all_leave
