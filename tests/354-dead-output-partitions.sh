#!/bin/sh
# Ten of twelve partitions of the output have a leader that dies while much is sent: each keeps
# what it was given, is said once, and stops neither of the two that live. When the broker is back,
# all is there. So it is when none has a leader for a while.
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
start() { start_spanbufd --flusher-processes 1 --timeout 2 --root-timeout 1 "$@"; }

start_redis
ID=${TMP##*.} IN=in-$ID OUT=out-$ID
start_mock --brokers 2 "$IN:4" "$OUT:12"
lead "$IN" 1 0 1 2 3
lead "$OUT" 1 10 11
lead "$OUT" 2 0 1 2 3 4 5 6 7 8 9
tell_mock coordinator "$ID" 1
start
# Its flusher knows the partitions.
more 61 40
wait_until 30 all_out "$TMP/in"
tell_mock down 2
more 62 20000
spans=$(wc -l <"$TMP/in")
# Of 8 MiB in flight each segment takes 2 KiB and its bytes.
wait_until 60 board_says "total('delivered') >= $((spans - 9000))" True
wait_until 30 says 'partition [0-9]* of the output acknowledges nothing.*look at its leader'
says 'Kafka is away' && fail "two partitions live"
board 'total("delivered"), w["flusher/0"]["in_flight"]'
tell_mock up 2
wait_until 60 all_out "$TMP/in"
wait_until 30 says 'partition [0-9]* of the output acknowledges nothing.*works again'
stop_spanbufd
check "$TMP/in"

# Who stops meanwhile waits a moment for the dead ones, not for their whole patience.
start
more 65 40
wait_until 30 all_out "$TMP/in"
said=$(said 'acknowledges nothing.*look at its leader\|nothing was acknowledged for')
tell_mock down 2
more 66 2000
# Nothing else is on its way, or others take the rest.
wait_until 60 says 'acknowledges nothing.*look at its leader\|nothing was acknowledged for' "$said"
stops_within 12000 'dead partitions of the output'
says 'shard [0-3]: let go while [1-9][0-9]* segments wait for partitions' || fail "not said"
tell_mock up 2
start
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"

# None has a leader, for longer than a message waits or for less: all is sent again, or at once.
lead "$OUT" 2 10 11
seed=62
for patience in 5000 300000; do
    seed=$((seed + 1))
    : >"$TMP/log"
    start --kafka-producer message.timeout.ms=$patience
    more $seed 40
    wait_until 40 all_out "$TMP/in"
    tell_mock down 2
    lead "$OUT" gone 0 1 2 3 4 5 6 7 8 9 10 11
    more ${seed}0 40
    wait_until 60 says 'Kafka is away (output)'
    board 'w["flusher/0"]["in_flight"]'
    lead "$OUT" 2 0 1 2 3 4 5 6 7 8 9 10 11
    tell_mock up 2
    more ${seed}1 40
    wait_until 60 all_out "$TMP/in"
    stop_spanbufd
    check "$TMP/in"
done
