#!/bin/sh
# With the rights that spanbufd(8) lists, and no more, the daemon does all its work, the making of
# the offset-map topic and both warnings included; so do audit and redrive.
# kafka: own
# timeout: 300
. "$(dirname "$0")/lib/common.sh"

acl() { python3 "$ROOT/tests/lib/acl.py" "$APACHE" allow "$@" || fail "acl $*"; }
# grant OPTION topic|group NAME: what the page's table has for the option.
grant() {
    rights=$(sed -n "s/^\.It Cm $1 Ta \([A-Z_, ]*\)$/\1/p" "$ROOT/man/spanbufd.8" |
        tr -d , | tr '[:upper:]' '[:lower:]')
    [ -n "$rights" ] || fail "spanbufd(8) has no rights for $1"
    for right in $rights; do acl "$2" "$3" "$right" spanbufd; done
}
# A command with the daemon's names, as another user.
as() {
    user=$1; shift
    sed "s/username=.*/username=$user/" "$TMP/conf" >"$TMP/conf.$user"
    "$SPANBUFD" "$@" --config "$TMP/conf.$user" --bootstrap-servers "$SASL" --group-id "$ID" \
        --namespace "$ID" --input-topic "$IN" >"$TMP/answer" 2>&1 ||
        { cat "$TMP/answer"; fail "$*"; }
}

start_redis
format_apache "$TMP/kafka"
port=$(free_port)
SASL=127.0.0.1:$port
sed -i -e "s#^\(.*listeners=PLAINTEXT[^,]*\)#\1,SASL_PLAINTEXT://$SASL#" \
    -e 's#^\(listener.security.protocol.map=.*\)#\1,SASL_PLAINTEXT:SASL_PLAINTEXT#' \
    "$TMP/kafka/server.properties"
plain=org.apache.kafka.common.security.plain.PlainLoginModule
cat >>"$TMP/kafka/server.properties" <<END
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=$plain required \\
    user_spanbufd="hunter2" user_auditor="hunter2" user_redriver="hunter2";
END
run_apache "$TMP/kafka" || fail "Kafka does not start"
started "$APACHE_PID"
ID=${TMP##*.}
IN=in-$ID OUT=out-$ID DEAD=dead-$ID MAPS=maps-$ID
for topic in "$IN" "$OUT" "$DEAD"; do "$TESTKIT" create-topic "$APACHE" "$topic" 1; done
grant input-topic topic "$IN"
grant output-topic topic "$OUT"
grant dead-letter-topic topic "$DEAD"
grant offset-map-topic topic "$MAPS"
grant group-id group "$ID"
acl topic "$IN" describe auditor
acl group "$ID" describe auditor
acl topic "$DEAD" read redriver
acl group "$ID-redrive" read redriver
acl topic "$IN" write redriver

umask 077
cat >"$TMP/conf" <<END
kafka = security.protocol=SASL_PLAINTEXT
kafka = sasl.mechanism=PLAIN
kafka = sasl.password=hunter2
kafka = sasl.username=spanbufd
dead-letter-topic = $DEAD
redis-url = redis+unix://$REDIS_SOCKET
END
# Spans without what strict validation asks for: letters, and what redrive puts back.
generate --traces 10 --seed 9 | sed 's/"retention_days":[0-9]*,//' >"$TMP/bare"
# Traces of a single span, which are due soon, among others that stay open: too much for a commit.
python3 -c 'import json, random
base = {"organization_id": 1, "project_id": 1, "start_timestamp": 1.0, "end_timestamp": 2.0,
        "received": 3.0, "retention_days": 9, "status": "ok", "name": "n"}
random.seed(1)
for n in range(20000):
    parent = None if random.random() < 0.3 else "f" * 16
    print(json.dumps({**base, "trace_id": f"{n:032x}", "parent_span_id": parent,
                      "span_id": f"{n + 1:016x}"}))' >"$TMP/in"

REDIS_IN_FILE=1 BOOTSTRAP=$SASL
start_spanbufd --config "$TMP/conf" --timeout 30 --root-timeout 1 --offset-map-topic "$MAPS" \
    --max-segment-age 604800 --redis-ttl 700000 --leave-on-stop true
BOOTSTRAP=$APACHE
produce "$IN" <"$TMP/in" >/dev/null
produce "$IN" <"$TMP/bare" >/dev/null
wait_until 60 says "created topic $MAPS"
wait_until 60 board_says 'total("dead_letters")' "$(wc -l <"$TMP/bare")"
says "topic $IN keeps messages for" || fail "no word of the short retention"
as auditor audit
as redriver redrive --validate ids --dead-letter-topic "$DEAD"
wait_until 120 all_out "$TMP/in"
stop_spanbufd
says 'authoriz\|denied\|Kafka refuses us' && fail "something is not allowed"
check "$TMP/in"

# A wrong password is no matter of rights.
sed -i 's/hunter2/hunter3/' "$TMP/conf"
BOOTSTRAP=$SASL
start_spanbufd --config "$TMP/conf"
for side in input output; do
    wait_until 30 says "Kafka does not let us in ($side): .*check .* sasl.password"
done
says 'Kafka refuses us' && fail "rights are blamed"
NO_AUDIT=1 stop_spanbufd
