#!/bin/sh
# A Redis that is one node of a cluster is refused with 78 and says why, before anything is lost.
# While the cluster is down, nobody can tell that it is one: it is waited for.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# The bus of a node listens 10000 ports above it.
node_port() {
    port=$(free_port)
    while [ "$port" -gt 55000 ]; do port=$(free_port); done
    echo "$port"
}
moved() { redis_cli hgetall x 2>&1 | grep -q MOVED; }

start_redis --port "$(node_port)" --cluster-enabled yes
start_kafka 1
start_spanbufd
wait_until 20 says 'ingest/0: .*CLUSTERDOWN'
alive "$DAEMON" || fail "a cluster that is down is waited for"
other=$(node_port)
mkdir "$TMP/other"
redis-server --port "$other" --cluster-enabled yes --dir "$TMP/other" --save '' \
    --appendonly no >>"$TMP/redis.log" 2>&1 &
started $!
wait_until 10 redis-cli -p "$other" ping
# shellcheck disable=SC2046
redis-cli -p "$other" cluster addslots $(seq 0 16383) >/dev/null
redis_cli cluster meet 127.0.0.1 "$other" >/dev/null
wait_until 20 moved
ended 78
grep -q 'one node of a Redis Cluster' "$TMP/log" || fail "the log does not say why"
