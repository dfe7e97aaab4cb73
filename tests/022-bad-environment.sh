#!/bin/sh
# Wrong values and misspelt names in the environment end with status 78 and name the variable.
. "$(dirname "$0")/lib/common.sh"

# refused NAME=VALUE WORDS
refused() {
    status=0
    env "$1" "$SPANBUFD" check >"$TMP/out" 2>"$TMP/err" || status=$?
    [ "$status" -eq 78 ] || fail "$1: status $status, not 78"
    grep -Fq -- "$2" "$TMP/err" || fail "no '$2' in: $(cat "$TMP/err")"
}

refused SPANBUFD_MAX_SHARDS=0 'environment SPANBUFD_MAX_SHARDS: max-shards = 0 is out of range'
refused SPANBUFD_ROOT_TIMOUT=5 'did you mean SPANBUFD_ROOT_TIMEOUT?'
refused SPANBUFD_KAFKA=acks=0 'environment SPANBUFD_KAFKA: kafka = acks=0 sets acks'
refused SPANBUFD_CONFIG=/etc/passwd 'SPANBUFD_CONFIG: the file is named with --config only'

# What an orchestrator makes by itself is left alone.
env SPANBUFD_SERVICE_HOST=10.0.0.1 SPANBUFD_PORT=tcp://10.0.0.1:80 "$SPANBUFD" check >"$TMP/out"

# Each line of a repeatable option's variable is one setting; spaces belong to the value.
env SPANBUFD_KAFKA='linger.ms=5
client.rack=row 3 left' "$SPANBUFD" check >"$TMP/out"
[ "$(grep -c 'environment SPANBUFD_KAFKA$' "$TMP/out")" -eq 2 ] || fail "$(cat "$TMP/out")"
grep -q 'client.rack=row 3 left' "$TMP/out" || fail "$(cat "$TMP/out")"
