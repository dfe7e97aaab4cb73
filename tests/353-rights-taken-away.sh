#!/bin/sh
# Apache Kafka takes rights away from a running daemon: to read the input topic, the group, to write
# the output topic. Each is said once with what to grant, waited out by everybody alive, said to be
# over when it is and not before, and loses nothing.
# kafka: own
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

acl() { python3 "$ROOT/tests/lib/acl.py" "$BOOTSTRAP" "$@" || fail "acl $*"; }
# healed OVER: said to be over, and everything is out.
healed() {
    wait_until 60 says "$1.*works again"
    wait_until 60 all_out "$TMP/in"
    : >"$TMP/log"
}

start_redis
KAFKA_PROPERTIES='authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true'
start_kafka 2
for topic in "$IN" "$OUT"; do acl allow topic "$topic" all; done
acl allow group "$ID" all
start_spanbufd --timeout 3 --root-timeout 2 --max-unhealthy-seconds 8 \
    --kafka-consumer session.timeout.ms=6000 --kafka-consumer heartbeat.interval.ms=500
more 40
wait_until 60 all_out "$TMP/in"
: >"$TMP/log"

acl deny topic "$IN" read
more 40
lasts 8 'Kafka refuses us (input): .*grant' 'Kafka refuses us (input)'
acl undeny topic "$IN" read
healed 'Kafka refuses us (input)'

acl deny group "$ID" read
more 40
lasts 8 'Kafka refuses us (input): JoinGroup.*grant' 'Kafka refuses us (input)'
acl undeny group "$ID" read
healed 'Kafka refuses us (input)'

acl deny topic "$OUT" write
more 40
lasts 8 'Kafka refuses us (output): .*grant' 'Kafka refuses us (output)'
acl undeny topic "$OUT" write
healed 'Kafka refuses us (output)'

board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in" --doubled 1000000
