#!/bin/sh
# Twelve partitions move between three daemons that join, leave and crash under load, with the
# cooperative and with an eager assignor: nothing is lost, and orderly hand-overs double nothing.
# kafka: apache
# timeout: 400
. "$(dirname "$0")/lib/common.sh"

# Produces $TMP/in in twenty parts, one or two a second.
load() {
    generate --traces 600 --seed "$1" >"$TMP/in"
    rm -rf "$TMP/parts" && mkdir "$TMP/parts"
    split -n l/20 "$TMP/in" "$TMP/parts/"
    for part in "$TMP"/parts/*; do produce "$IN" <"$part" >/dev/null && sleep 0.3; done &
    LOAD=$!
    started $LOAD
}
# join NAME: starts a daemon; at NAME: makes it the one that is asked.
join() {
    INSTANCE=$1-$ID
    start_spanbufd --timeout 8 --root-timeout 7 --leave-on-stop true --flusher-processes 2 \
        --kafka-consumer "partition.assignment.strategy=$strategy" \
        --kafka-consumer session.timeout.ms=6000 --kafka-consumer heartbeat.interval.ms=500
    eval "pid_$1=$DAEMON"
}
at() { INSTANCE=$1-$ID && eval "DAEMON=\$pid_$1"; }
# holds N…: the daemon has one of these numbers of shards, and all of them are held and read.
holds() {
    board_says "len(s) in ($1), all(x['holder'] is not None and x['paused'] == 0 for x in s)" \
        '(True, True)'
}

start_redis
start_kafka 12
for strategy in cooperative-sticky range; do
    ID=${TMP##*.}-$strategy
    IN=in-$ID OUT=out-$ID
    "$TESTKIT" create-topic "$BOOTSTRAP" "$IN" 12
    "$TESTKIT" create-topic "$BOOTSTRAP" "$OUT" 2
    GROUP=$ID NAMESPACE=$ID
    load 61
    join one && wait_until 40 holds '12,'
    join two && wait_until 40 holds '6,'
    join three && wait_until 40 holds '4,'
    at two && stop_spanbufd
    at one && wait_until 40 holds '6,'
    stop_spanbufd
    at three && wait_until 40 holds '12,'
    join two && wait_until 40 holds '6,'
    wait_until 60 gone "$LOAD"
    wait_until 60 all_out "$TMP/in"
    echo "$strategy, in order:"
    check "$TMP/in"

    cp "$TMP/in" "$TMP/first"
    load 62
    join one && wait_until 40 holds '4,'
    at two && kill -KILL "$DAEMON"
    wait_until 10 gone "$DAEMON" && rm -f "/dev/shm/spanbufd.$INSTANCE"
    at one && wait_until 40 holds '6,'
    wait_until 60 gone "$LOAD"
    cat "$TMP/first" >>"$TMP/in"
    wait_until 60 all_out "$TMP/in"
    echo "$strategy, with a crash:"
    check "$TMP/in" --doubled 1000000
    stop_spanbufd
    at three && stop_spanbufd
done
