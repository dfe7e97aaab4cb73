#!/bin/sh
# audit explains a shard from Kafka and Redis, finds what is off, and changes nothing.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

audited() { got=0; audit "$@" >"$TMP/answer" 2>&1 || got=$?; }
# finds STATUS TEXT [option…]
finds() {
    wanted=$1 text=$2; shift 2
    audited "$@"
    if [ "$got" -ne "$wanted" ] || ! grep -q -- "$text" "$TMP/answer"; then
        cat "$TMP/answer"
        fail "status $got, not $wanted, or no '$text'"
    fi
}
everything() {
    for key in $(redis_cli keys '*' | sort); do redis_cli dump "$key"; done | md5sum
}

start_redis
start_kafka 2
finds 0 "nothing is committed and namespace $ID of Redis has no life of it: it was never read"
broker=$BOOTSTRAP BOOTSTRAP=127.0.0.1:1
finds 3 'bootstrap-servers = 127.0.0.1:1: cannot ask'
BOOTSTRAP=$broker
generate --traces 20 --seed 71 >"$TMP/in"
count=$(wc -l <"$TMP/in")
start_spanbufd --timeout 600 --root-timeout 600
produce "$IN" <"$TMP/in" >/dev/null
wait_until 30 board_says 'total("buffered")' "$count"
finds 0 "balanced: 2 shards, $count read, 0 settled, $count buffered, 0 faults"
stop_spanbufd

before=$(everything)
trace=$(head -n 1 "$TMP/in" | sed 's/.*"trace_id": *"\([^"]*\)".*/\1/')
finds 0 "trace $trace of project" --trace "$trace"
[ "$(grep -c '^shard .* of project' "$TMP/answer")" -ge 1 ] || fail "no segment is listed"
finds 0 'ranges more\|more$' --limit 1
audited --json --limit 1000
python3 - "$TMP/answer" "$count" <<'EOF'
import json, sys
shards = json.load(open(sys.argv[1]))["shards"]
spans = sum(segment["spans"] for shard in shards for segment in shard["segments"])
offsets = sum(end - first for shard in shards for first, end in shard["unsettled"])
assert spans == offsets == sum(s["books"]["buffered"] for s in shards) == int(sys.argv[2])
assert all(shard["floor"] == 0 and shard["position"] == shard["end"] for shard in shards)
EOF
redis_cli expire "$ID:{0}:p" 1000 >/dev/null
audited
[ "$(redis_cli ttl "$ID:{0}:p")" -le 1000 ] || fail "audit renewed a time to live"
[ "$(everything)" = "$before" ] || fail "audit changed a key"

NAMESPACE=elsewhere
finds 0 'namespace elsewhere of Redis has no life of it; one will begin at the floor, 0'
NAMESPACE=
GROUP=another
finds 1 'belong to topic'
GROUP=$ID
redis_cli hincrby "$ID:{0}:p" read 3 >/dev/null
finds 1 'FAULT: the books do not balance: 3 of'
redis_cli hincrby "$ID:{0}:p" read -3 >/dev/null
redis_cli set "$ID:{1}:b:00000000000000000000000000000001" left ex 100 >/dev/null
finds 0 'note: 1 values (4 bytes) are of no live batch'
batch=$(redis_cli keys "$ID:{1}:b:*" | grep -v 0000000 | head -n 1)
redis_cli rename "$batch" elsewhere >/dev/null
finds 1 'FAULT: batch .* is listed, its value is gone'
redis_cli rename elsewhere "$batch" >/dev/null
finds 0 '^balanced'
redis_cli flushall >/dev/null
finds 0 'one will begin at the floor, 0'
stop_redis
finds 3 'spanbufd: '
