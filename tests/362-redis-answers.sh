#!/bin/sh
# What a Redis answers that fails over or whose keys move, once in the middle of a call and for a
# while: it is said once with what to do, waited out, said once when it is over, and nothing is lost
# or comes twice. Where it turns out to be one node of a cluster, that is the end, and the next
# start loses nothing. (What a real Redis can be made to answer: 359 and 311.)
# kafka: mock
# timeout: 300
. "$(dirname "$0")/lib/common.sh"

refused_once() { [ ! -e "$TMP/faults.once" ]; }
# row PATTERN ANSWER: to the next script, then to all that concerns keys.
row() {
    echo "$2" >"$TMP/faults.once"
    more 5
    wait_until 20 refused_once
    wait_until 40 all_out "$TMP/in"
    wait_until 20 calm
    : >"$TMP/log"
    echo "$2" >"$TMP/faults.refuse"
    more 5
    for who in ingest flusher; do wait_until 20 says "WARN .*$who/0: .*$1"; done
    rm "$TMP/faults.refuse"
    wait_until 40 all_out "$TMP/in"
    wait_until 20 calm
    for who in ingest flusher; do
        lines=$(said "WARN .*$who/0: ")
        [ "$lines" -le 3 ] || { cat "$TMP/log"; fail "$2: $lines warnings of the $who"; }
    done
}
# All that was said to be wrong is said to be over.
calm() {
    sed -n 's/.* WARN *\([a-z]*\/0: [^:]*\): .*/\1/p' "$TMP/log" | sort -u >"$TMP/wrong"
    sed -n 's/.* \([a-z]*\/0: [^:]*\): .*works again$/\1/p' "$TMP/log" | sort -u >"$TMP/over"
    diff "$TMP/wrong" "$TMP/over"
}
start() {
    REDIS_IN_FILE=1 start_spanbufd --redis-url "redis+unix://$TMP/proxy.sock" --timeout 3 \
        --root-timeout 2
}

start_redis
start_kafka 2
python3 "$ROOT/tests/lib/proxy.py" "$TMP/proxy.sock" "$REDIS_SOCKET" "$TMP/faults" "$TMP/lost" &
started $!
wait_until 5 test -S "$TMP/proxy.sock"
start
more 5
wait_until 40 all_out "$TMP/in"

row 'TRYAGAIN.*not part of any' 'TRYAGAIN Multiple keys request during rehashing of slot'
row 'CLUSTERDOWN.*not part of any' 'CLUSTERDOWN The cluster is down'
row 'LOADING.*waited for' 'LOADING Redis is loading the dataset in memory'
row 'MASTERDOWN.*promote it' 'MASTERDOWN Link with MASTER is down'
row 'READONLY.*promote it' "READONLY You can't write against a read only replica."
# As scripts tell it before Redis 7.
called='ERR Error running script (call to f_0): @user_script:14:'
row 'READONLY.*promote it' "$called -READONLY You can't write against a read only replica."
row 'is stopped, and no other: .*WRONGTYPE.*delete it' \
    "$called WRONGTYPE Operation against a key holding the wrong kind of value"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
check "$TMP/in"

for answer in 'MOVED 3999 127.0.0.1:6381' 'ASK 3999 127.0.0.1:6381' 'CROSSSLOT Keys in request'; do
    : >"$TMP/log"
    more 5
    echo "$answer" >"$TMP/faults.refuse"
    ended 78
    says "one node of a Redis Cluster (${answer%% *}.*not part of one" || fail "not said: $answer"
    rm "$TMP/faults.refuse"
    start
    wait_until 40 all_out "$TMP/in"
done
stop_spanbufd
check "$TMP/in" --doubled 1000000
