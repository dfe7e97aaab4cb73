#!/bin/sh
# Secrets are refused on the command line, and shown nowhere.
. "$(dirname "$0")/lib/common.sh"

conf=$TMP/spanbufd.conf
secret=hunter2

never_shown() {
    ! grep -q "$secret" "$TMP/out" "$TMP/err" || fail "shown: $(cat "$TMP/out" "$TMP/err")"
}

refused() {
    status=0
    "$SPANBUFD" check "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
    [ "$status" -eq 78 ] || fail "$*: status $status, not 78"
    grep -q 'holds a secret' "$TMP/err" || fail "$*: $(cat "$TMP/err")"
    never_shown
}

refused --redis-url "redis://:$secret@localhost/0"
refused --redis-url "redis://user:$secret@localhost/0"
refused --redis-url "unix:///run/redis.sock?pass=$secret"
refused --kafka "sasl.password=$secret"
refused --kafka-consumer "ssl.key.password=$secret"
refused --kafka-producer "ssl.key.pem=$secret"
refused --kafka "sasl.oauthbearer.client.secret=$secret"

cat >"$conf" <<END
redis-url = redis://user:$secret@localhost/0
kafka = sasl.password=$secret
END
chmod 640 "$conf"
for json in '' --json; do
    # shellcheck disable=SC2086 # nothing, or one word
    env SPANBUFD_KAFKA_PRODUCER="ssl.key.password=$secret" \
        "$SPANBUFD" check --config "$conf" $json >"$TMP/out" 2>"$TMP/err"
    never_shown
    [ "$(grep -cF '***' "$TMP/out")" -eq 3 ] || fail "not masked thrice: $(cat "$TMP/out")"
    [ ! -s "$TMP/err" ] || fail "warned of nothing: $(cat "$TMP/err")"
done

# A file with a secret that everyone may read is warned of.
chmod 644 "$conf"
"$SPANBUFD" check --config "$conf" >"$TMP/out" 2>"$TMP/err"
grep -Fq "warning: $conf holds a secret" "$TMP/err" || fail "no warning: $(cat "$TMP/err")"
never_shown

# Nor in the message about a value that is wrong.
printf 'redis-url = redis://:%s@local host/0\n' "$secret" >"$conf"
expect_status 78 "$SPANBUFD" check --config "$conf" >"$TMP/out" 2>"$TMP/err"
never_shown

# A file for the password must be there and hold one line.
expect_status 78 "$SPANBUFD" check --redis-password-file "$TMP/none" >"$TMP/out" 2>"$TMP/err"
printf '%s\nmore\n' "$secret" >"$TMP/password"
expect_status 78 "$SPANBUFD" check --redis-password-file "$TMP/password" >"$TMP/out" 2>"$TMP/err"
never_shown
printf '%s\n' "$secret" >"$TMP/password"
"$SPANBUFD" check --redis-password-file "$TMP/password" >"$TMP/out" 2>"$TMP/err"
never_shown
