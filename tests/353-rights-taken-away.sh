#!/bin/sh
# Apache Kafka takes rights away from a running daemon: to read the input topic, the group, to write
# the output topic. Each is said once with what to grant, waited out by everybody alive, said to be
# over when it is and not before, and loses nothing.
# kafka: own
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

acl() { python3 "$ROOT/tests/lib/acl.py" "$BOOTSTRAP" "$@" || fail "acl $*"; }
more() { generate --traces 40 --seed "$1" | tee -a "$TMP/in" | produce "$IN" >/dev/null; }
# lasts PATTERN OVER SEED: said when more comes, and not said to be over.
lasts() {
    more "$3"
    wait_until 60 says "$1"
    began=$(date +%s)
    while [ $(($(date +%s) - began)) -lt 8 ]; do sleep 0.2; done
    says "$2.*works again" && fail "it is not over: $2"
    [ "$(said "$1")" -eq 1 ] || fail "said more than once: $1"
}
# healed OVER: said to be over, and everything is out.
healed() {
    wait_until 60 says "$1.*works again"
    wait_until 60 all_out "$TMP/in"
    : >"$TMP/log"
}

start_redis
fetch_apache || skip "no Apache Kafka"
format_apache "$TMP/kafka"
cat >>"$TMP/kafka/server.properties" <<END
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
END
run_apache "$TMP/kafka" || fail "Kafka does not start"
started "$APACHE_PID"
BOOTSTRAP=$APACHE ID=${TMP##*.}
IN=in-$ID OUT=out-$ID
for topic in "$IN" "$OUT"; do
    "$TESTKIT" create-topic "$BOOTSTRAP" "$topic" 2
    acl allow topic "$topic" all
done
acl allow group "$ID" all
start_spanbufd --timeout 3 --root-timeout 2 --max-unhealthy-seconds 8 \
    --kafka-consumer session.timeout.ms=6000 --kafka-consumer heartbeat.interval.ms=500
more 121
wait_until 60 all_out "$TMP/in"
: >"$TMP/log"

acl deny topic "$IN" read
lasts 'Kafka refuses us (input): .*grant' 'Kafka refuses us (input)' 122
acl undeny topic "$IN" read
healed 'Kafka refuses us (input)'

acl deny group "$ID" read
lasts 'Kafka refuses us (input): JoinGroup.*grant' 'Kafka refuses us (input)' 123
acl undeny group "$ID" read
healed 'Kafka refuses us (input)'

acl deny topic "$OUT" write
lasts 'Kafka refuses us (output): .*grant' 'Kafka refuses us (output)' 124
acl undeny topic "$OUT" write
healed 'Kafka refuses us (output)'

board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in" --doubled 1000000
