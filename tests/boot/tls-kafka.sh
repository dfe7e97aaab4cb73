#!/bin/sh
# Apache Kafka with a plain and a TLS listener, for tests/boot.sh: tls-kafka.sh FOLDER.
#
# Leaves ca.pem and tls.env (PLAIN, TLS) in FOLDER once it answers, and runs until it is ended.
set -eu
cd "$(dirname "$0")/../.."
folder=$1
TMP=$folder
. tests/lib/kafka.sh
fetch_apache
trap 'kill -TERM "$APACHE_PID" 2>/dev/null; exit 143' TERM INT

tls=$(free_port)
keytool -genkeypair -alias kafka -keyalg RSA -validity 3650 -dname CN=localhost \
    -ext san=ip:127.0.0.1,dns:localhost -keystore "$folder/keys.p12" -storepass changeit
keytool -exportcert -rfc -alias kafka -keystore "$folder/keys.p12" -storepass changeit \
    >"$folder/ca.pem"

format_apache "$folder/kafka"
sed -i -e "s#^\(listeners=.*\),CONTROLLER#\1,SSL://127.0.0.1:$tls,CONTROLLER#" \
    -e "s#^\(advertised.listeners=.*\)#\1,SSL://127.0.0.1:$tls#" \
    -e 's#^\(listener.security.protocol.map=.*\)#\1,SSL:SSL#' "$folder/kafka/server.properties"
cat >>"$folder/kafka/server.properties" <<EOF
ssl.keystore.location=$folder/keys.p12
ssl.keystore.password=changeit
ssl.keystore.type=PKCS12
EOF
run_apache "$folder/kafka"
printf 'PLAIN=%s\nTLS=127.0.0.1:%s\n' "$APACHE" "$tls" >"$folder/tls.env"
wait "$APACHE_PID"
