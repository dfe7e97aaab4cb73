#!/bin/sh
# The benchmark: five workloads through Kafka and Redis, and what is possible at all beside them.
#
# usage: sh tests/bench/run.sh [full|short|smoke] [bench.py options]
#
# full (the default) takes about ten minutes on a quiet machine, short two. Everything is built for
# release and started here: a broker (Apache Kafka; with TEST_KAFKA=mock librdkafka's mock cluster),
# a redis-server, a daemon a run. Prints a table, compares it with accepted.json and leaves
# bench.json in the current folder (or where --json says). smoke is for the test suite: debug
# builds, a few hundred spans, no figures worth reading. BENCH_BUILD=target/release takes what is
# built already; `--beside BINARY` runs another build of spanbufd in turn with it.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
size=full
case ${1:-} in full | short | smoke) size=$1; shift ;; esac
BUILD=$ROOT/target/release
if [ "$size" = smoke ]; then
    BUILD=$ROOT/target/debug
elif [ -n "${BENCH_BUILD:-}" ]; then
    BUILD=$BENCH_BUILD
else
    (cd "$ROOT" && cargo build --release --bins --examples)
fi
SPANBUFD=$BUILD/spanbufd
TESTKIT=$BUILD/examples/testkit
BENCHKIT=$BUILD/examples/benchkit
TEST_KAFKA=${TEST_KAFKA:-apache}
export BENCHKIT TEST_KAFKA
# shellcheck source=tests/lib/common.sh
. "$ROOT/tests/lib/common.sh"

# shellcheck disable=SC2119
start_redis
case $TEST_KAFKA in
    mock)
        start_mock scratch:1 ;;
    apache)
        fetch_apache || fail "Apache Kafka cannot be had; try TEST_KAFKA=mock"
        # A topic's files go soon behind it: see bench.py, drop(). The machine's settings are those
        # of Kafka's own start script, not the tests', which are made to start soon.
        KAFKA_PROPERTIES=log.segment.delete.delay.ms=1000
        KAFKA_JVM="${KAFKA_JVM:--Xmx1g -Xms1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20
            -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent
            -XX:MaxInlineLevel=15}"
        start_apache "$TMP/apache" || fail "Apache Kafka does not start"
        started "$APACHE_PID"
        BOOTSTRAP=$APACHE ;;
esac
# The mock makes topics where it runs: bench.py asks for them through its standard input.
MOCK_ORDERS=$TMP/mock.in
export BOOTSTRAP REDIS REDIS_SOCKET KAFKA_VERSION MOCK_ORDERS
python3 "$ROOT/tests/bench/bench.py" "$size" "$@"
