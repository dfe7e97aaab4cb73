#!/bin/sh
# The harness starts a private Redis, and a second start comes back empty.
# kafka: none
. "$(dirname "$0")/lib/common.sh"

start_redis
expect_status 0 redis_cli set key value
[ "$(redis_cli get key)" = value ] || fail "the value was not kept"
stop_redis
start_redis
[ "$(redis_cli dbsize)" = 0 ] || fail "the second Redis is not empty"
