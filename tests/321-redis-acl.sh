#!/bin/sh
# With the rights that spanbufd(8) gives its Redis user, and no more, the daemon does all its work,
# over TCP and in another database than the first.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

port=$(free_port)
start_redis --port "$port"
start_kafka
# The rule of the page, with this test's name and namespace.
rule=$(sed -n 's/^ACL SETUSER spanbufd //p' "$ROOT/man/spanbufd.8" | sed "s/~spanbuf:/~$ID:/")
[ -n "$rule" ] || fail "spanbufd(8) has no ACL rule"
# shellcheck disable=SC2086 # words
redis_cli ACL SETUSER spanbufd $rule >"$TMP/answer"
grep -qx OK "$TMP/answer" || fail "$(cat "$TMP/answer")"
redis_cli ACL SETUSER admin on '>admin' '~*' '&*' +@all >/dev/null
redis_cli ACL SETUSER default off >/dev/null
admin() { redis-cli -s "$REDIS_SOCKET" --user admin --pass admin --no-auth-warning "$@"; }

umask 077
echo password >"$TMP/password"
generate --traces 50 --seed 17 >"$TMP/in"
REDIS_IN_FILE=1
start_spanbufd --redis-url "redis://spanbufd@localhost:$port/1" \
    --redis-password-file "$TMP/password" --timeout 2 --root-timeout 1
produce "$IN" <"$TMP/in"
wait_until 40 all_out "$TMP/in"

# A changed password takes no restart: the file is read at each connection.
echo changed >"$TMP/password"
admin ACL SETUSER spanbufd resetpass '>changed' >/dev/null
admin CLIENT KILL USER spanbufd >"$TMP/answer"
[ "$(cat "$TMP/answer")" -ge 2 ] || fail "no connection of the daemon's was killed"
generate --traces 50 --seed 18 | tee -a "$TMP/in" | produce "$IN"
wait_until 40 all_out "$TMP/in"

# A password that cannot be read ends a worker, as a thing that passes, and not the daemon.
mv "$TMP/password" "$TMP/elsewhere"
signal_worker KILL flusher/0
wait_until 20 says 'flusher/0 .* ended with status 75'
mv "$TMP/elsewhere" "$TMP/password"
generate --traces 50 --seed 19 | tee -a "$TMP/in" | produce "$IN"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
keys=$(admin -n 1 keys "$ID:*" | wc -l)
[ "$keys" -ge 4 ] || fail "$keys keys in the database that was named"
if grep -q NOPERM "$TMP/log"; then fail "something is not allowed"; fi
