#!/bin/sh
# Ten of twelve partitions of the output have a leader that dies while much is sent: each keeps
# what it was given, is said once, and stops neither of the two that live. When the broker is back,
# all is there.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

# lead TOPIC BROKER PARTITION…
lead() {
    topic=$1 broker=$2
    shift 2
    for partition in "$@"; do tell_mock leader "$topic" "$partition" "$broker"; done
}
more() {
    generate --seed "$1" --traces "$2" --spans-per-trace 1-2 | tee -a "$TMP/in" |
        produce "$IN" >/dev/null
}
delivered() {
    board 'total("delivered")' >"$TMP/delivered"
    cat "$TMP/delivered"
    [ "$(cat "$TMP/delivered")" -ge "$1" ]
}

start_redis
ID=${TMP##*.} IN=in-$ID OUT=out-$ID
start_mock --brokers 2 "$IN:4" "$OUT:12"
lead "$IN" 1 0 1 2 3
lead "$OUT" 1 10 11
lead "$OUT" 2 0 1 2 3 4 5 6 7 8 9
tell_mock coordinator "$ID" 1
start_spanbufd --flusher-processes 1 --timeout 2 --root-timeout 1
# Its flusher knows the partitions.
more 61 40
wait_until 30 all_out "$TMP/in"
tell_mock down 2
more 62 20000
spans=$(wc -l <"$TMP/in")
# Of 8 MiB in flight each segment takes 2 KiB and its bytes.
wait_until 60 delivered $((spans - 9000))
wait_until 30 says 'partition [0-9]* of the output acknowledges nothing.*look at its leader'
says 'Kafka is away' && fail "two partitions live"
board 'total("delivered"), w["flusher/0"]["in_flight"]'
tell_mock up 2
wait_until 60 all_out "$TMP/in"
wait_until 30 says 'partition [0-9]* of the output acknowledges nothing.*works again'
stop_spanbufd
check "$TMP/in"
