#!/bin/sh
# Redis fails over to a replica that missed the last writes, appends and settles: once under a
# running daemon, once while it is stopped. Every span is delivered, and nothing twice.
# kafka: mock
# timeout: 200
. "$(dirname "$0")/lib/common.sh"

all_read() { board_says 'total("position")' "$(wc -l <"$TMP/in")"; }

# start_server N: behind a socket of its own; sets PORT and REDIS.
start_server() {
    PORT=$(free_port)
    redis-server --port "$PORT" --unixsocket "$TMP/redis.$1" --dir "$TMP" --save '' \
        --appendonly no >>"$TMP/redis.log" 2>&1 &
    REDIS=$!
    started "$REDIS"
    wait_until 10 answers "$1"
}
ask() { server=$1; shift; redis-cli -s "$TMP/redis.$server" "$@"; }
answers() { [ "$(ask "$1" ping 2>&1)" = PONG ]; }
# serve N: what the daemon knows as its Redis.
serve() { ln -sfn "$TMP/redis.$1" "$REDIS_SOCKET"; }
in_sync() {
    ask "$2" info replication | grep -q 'master_link_status:up' &&
        [ "$(ask "$1" hget "$ID:{0}:p" tip)" = "$(ask "$2" hget "$ID:{0}:p" tip)" ]
}

start_kafka 2
start_server 1
serve 1
: >"$TMP/in"
start_spanbufd --timeout 4 --root-timeout 3
for number in 1 2; do
    master=$REDIS
    port=$PORT
    more 30
    wait_until 40 all_read
    start_server $((number + 1))
    ask $((number + 1)) replicaof 127.0.0.1 "$port" >/dev/null
    wait_until 20 in_sync $number $((number + 1))
    # The replica keeps what it has; what comes now is the master's alone.
    ask $((number + 1)) replicaof 127.0.0.1 1 >/dev/null
    wait_until 40 all_out "$TMP/in"
    more 30
    wait_until 40 all_read
    [ $number -eq 1 ] || stop_spanbufd
    kill -KILL "$master"
    wait_until 10 gone "$master"
    ask $((number + 1)) replicaof no one >/dev/null
    serve $((number + 1))
    [ $number -eq 1 ] || start_spanbufd --timeout 4 --root-timeout 3
    wait_until 60 all_out "$TMP/in"
    [ $number -eq 2 ] || grep -Eq 'went another way|stands elsewhere|not what we left' "$TMP/log" ||
        fail "the daemon has not noticed: this tests nothing"
done
more 30
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
