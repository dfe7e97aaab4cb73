# Kafka for tests: the mock cluster or Apache Kafka, by $TEST_KAFKA (mock, apache, own).
#
# The mock belongs to the test that starts it. Apache Kafka takes seconds to start, so run.sh
# starts one for all tests of a run ($TEST_APACHE is its address); topics are named after the
# test's own folder, so that no two tests meet. A test that breaks its broker (`# kafka: own`)
# starts one of its own, with the lines of $KAFKA_PROPERTIES if it has any.
# Sourced by common.sh and by run.sh.
# shellcheck shell=sh

TEST_KAFKA=${TEST_KAFKA:-mock}
KAFKA_VERSION=4.3.1
KAFKA_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/spanbufd/kafka-$KAFKA_VERSION

# start_kafka [PARTITIONS]: sets BOOTSTRAP and makes the topics IN, OUT and DEAD.
start_kafka() {
    ID=${TMP##*.}
    IN=in-$ID OUT=out-$ID DEAD=dead-$ID
    case $TEST_KAFKA in
        mock) start_mock "$IN:${1:-4}" "$OUT:2" "$DEAD:1" ;;
        apache)
            BOOTSTRAP=${TEST_APACHE:?run.sh starts it}
            create_topics "${1:-4}" ;;
        own)
            start_apache "$TMP/kafka" || fail "Kafka does not start"
            started "$APACHE_PID"
            BOOTSTRAP=$APACHE
            create_topics "${1:-4}" ;;
        *) fail "TEST_KAFKA is $TEST_KAFKA: mock, apache or own" ;;
    esac
}

create_topics() {
    "$TESTKIT" create-topic "$BOOTSTRAP" "$IN" "$1"
    "$TESTKIT" create-topic "$BOOTSTRAP" "$OUT" 2
    "$TESTKIT" create-topic "$BOOTSTRAP" "$DEAD" 1
}

# The mock ends when its standard input closes, and obeys what is written there.
start_mock() {
    mkfifo "$TMP/mock.in"
    "$TESTKIT" mock "$@" <"$TMP/mock.in" >"$TMP/mock.out" 2>&1 &
    MOCK=$!
    started "$MOCK"
    exec 9>"$TMP/mock.in"
    wait_until 10 test -s "$TMP/mock.out"
    BOOTSTRAP=$(head -n 1 "$TMP/mock.out")
}

# tell_mock WORDS…: down, up, delay MS, topic NAME PARTITIONS and what else testkit.rs names.
tell_mock() {
    answers=$(wc -l <"$TMP/mock.out")
    echo "$*" >&9
    wait_until 10 mock_said "$answers"
}
mock_said() { [ "$(wc -l <"$TMP/mock.out")" -gt "$1" ]; }

produce() { "$TESTKIT" produce "$BOOTSTRAP" "$@"; }
consume() { "$TESTKIT" consume "$BOOTSTRAP" "$@"; }

# Apache Kafka's jars from Maven Central, once for all runs; 1 when they cannot be had.
fetch_apache() {
    [ ! -e "$KAFKA_CACHE/complete" ] || return 0
    command -v mvn >/dev/null && command -v java >/dev/null || return 1
    mkdir -p "$KAFKA_CACHE"
    cat >"$KAFKA_CACHE/pom.xml" <<EOF
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>spanbufd</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version></dependency>
  </dependencies>
</project>
EOF
    mvn -q -B -f "$KAFKA_CACHE/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$KAFKA_CACHE/libs" >"$KAFKA_CACHE/mvn.log" 2>&1 || return 1
    touch "$KAFKA_CACHE/complete"
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# start_apache FOLDER: one node in KRaft mode; sets APACHE (address) and APACHE_PID.
start_apache() {
    format_apache "$1"
    run_apache "$1"
}

# format_apache FOLDER: all but starting it; sets APACHE.
format_apache() {
    port=$(free_port) control=$(free_port)
    APACHE=127.0.0.1:$port
    mkdir -p "$1"
    cat >"$1/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$control
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=1000
message.max.bytes=25000000
log.message.timestamp.after.max.ms=9223372036854775807
log.dirs=$1/data
${KAFKA_PROPERTIES:-}
EOF
    uuid=$(java -cp "$KAFKA_CACHE/libs/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
    java -cp "$KAFKA_CACHE/libs/*" kafka.tools.StorageTool format -t "$uuid" \
        -c "$1/server.properties" >"$1/format.log" 2>&1
}

# run_apache FOLDER: starts what format_apache has prepared (again, after it was ended), on a
# machine with the settings KAFKA_JVM. One that does not get ready is ended.
run_apache() {
    # shellcheck disable=SC2086
    java ${KAFKA_JVM:--Xmx512m -Xms256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1} \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp "$KAFKA_CACHE/libs/*" kafka.Kafka "$1/server.properties" >>"$1/kafka.log" 2>&1 &
    APACHE_PID=$!
    rounds=0
    until "$TESTKIT" create-topic "$APACHE" "ready-$APACHE_PID" 1 2>/dev/null; do
        rounds=$((rounds + 1))
        if [ "$rounds" -ge 30 ]; then
            cat "$1/kafka.log" >&2
            end_apache
            return 1
        fi
        sleep 0.2
    done
}

end_apache() {
    kill -TERM "$APACHE_PID" 2>/dev/null || true
    wait "$APACHE_PID" || true
    APACHE_PID=
}
