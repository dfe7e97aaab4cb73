#!/bin/sh
# A configuration that only a running worker can reject (a Redis that evicts) is taken back: the
# reload says so, all workers run with the old one, and nothing is lost.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
redis-server --port 0 --unixsocket "$TMP/evicting.sock" --save '' --maxmemory 100mb \
    --maxmemory-policy allkeys-lru >"$TMP/evicting.log" 2>&1 &
started $!
wait_until 10 test -S "$TMP/evicting.sock"
generate --traces 100 --seed 31 >"$TMP/in"
split -n l/2 "$TMP/in" "$TMP/part."
configure() {
    printf 'redis-url = redis+unix://%s\nroot-timeout = 2\ntimeout = 3\n' "$1" >"$TMP/conf"
}
configure "$REDIS_SOCKET"
REDIS_IN_FILE=1 start_spanbufd --config "$TMP/conf" --flusher-processes 2
flowing() { board_says 'd["health"], [x["paused"] for x in s]' "('healthy', [0, 0, 0, 0])"; }
wait_until 30 flowing
produce "$IN" <"$TMP/part.aa" >/dev/null

configure "$TMP/evicting.sock"
expect_status 78 "$SPANBUFD" reload --instance "$INSTANCE"
grep -q 'goes on with the old one' "$TMP/answer" || fail "the reload does not say how it ended"
expect_obituary ' ended with status 78 .*it had logged: .*maxmemory-policy'
wait_until 30 grep -q 'the old configuration is back' "$TMP/log"
produce "$IN" <"$TMP/part.ab" >/dev/null
wait_until 30 flowing
board_says 'd["daemon"]["generation"], d["daemon"]["reload_failed"]' '(3, 1)' || fail generation
wait_until 40 all_out "$TMP/in"
[ "$(redis-cli -s "$TMP/evicting.sock" dbsize)" = 0 ] || fail "something went to the other Redis"

# Once that Redis is mended the same file is taken over, for what comes from now on.
redis-cli -s "$TMP/evicting.sock" config set maxmemory-policy noeviction >/dev/null
expect_status 0 "$SPANBUFD" reload --instance "$INSTANCE"
stop_spanbufd
check "$TMP/in"
