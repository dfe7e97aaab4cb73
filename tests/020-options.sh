#!/bin/sh
# Flags, environment, file and defaults win in this order, and check says where each is from.
. "$(dirname "$0")/lib/common.sh"

conf=$TMP/spanbufd.conf
cat >"$conf" <<'END'
# a comment
timeout = 11
root-timeout = 1
max-restarts = 3
END

SPANBUFD_TIMEOUT=12 SPANBUFD_ROOT_TIMEOUT=2 \
    "$SPANBUFD" check --config "$conf" --timeout 13 >"$TMP/out"

expect_line() {
    tr -s ' ' <"$TMP/out" | grep -Fqx -- "$1" || fail "no line '$1' in: $(cat "$TMP/out")"
}
expect_line 'timeout = 13 # flag --timeout'
expect_line 'root-timeout = 2 # environment SPANBUFD_ROOT_TIMEOUT'
expect_line "max-restarts = 3 # $conf:4"
expect_line 'redis-ttl = 3600 # default'
expect_line 'dead-letter-topic = # default'
