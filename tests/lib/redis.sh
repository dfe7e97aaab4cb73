# A private Redis per test, on a unix socket in the test's folder; no port, no disk.
#
# `start_redis [options…]` may be called again after `stop_redis`: it comes back empty.
# Sourced by common.sh only.
# shellcheck shell=sh

REDIS_SOCKET=$TMP/redis.sock
REDIS=

redis_cli() { redis-cli -s "$REDIS_SOCKET" "$@"; }
redis_answers() { [ "$(redis_cli ping 2>&1)" = PONG ]; }

start_redis() {
    command -v redis-server >/dev/null || skip "redis-server is not installed"
    redis-server --port 0 --unixsocket "$REDIS_SOCKET" --dir "$TMP" --save '' \
        --appendonly no "$@" >>"$TMP/redis.log" 2>&1 &
    REDIS=$!
    started "$REDIS"
    wait_until 10 redis_answers
}

stop_redis() {
    kill -TERM "$REDIS"
    wait_until 10 gone "$REDIS"
}
