#!/bin/sh
# Two daemons with the same fixed partitions fight over them under load: nothing is lost, it is said
# as "two owners", and no shard is taken more than a few times a minute.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 2
GROUP=$ID NAMESPACE=$ID
options="--partitions 0,1 --timeout 8 --root-timeout 7"
# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options && one=$DAEMON
# shellcheck disable=SC2086
INSTANCE=two-$ID && start_spanbufd $options && two=$DAEMON
began=$(date +%s)
generate --traces 300 --seed 73 >"$TMP/in"
split -n l/20 "$TMP/in" "$TMP/part."
for part in "$TMP"/part.*; do produce "$IN" <"$part" >/dev/null && sleep 0.5; done
# Each flusher knows the clock of its own ingest only, so segments may be split.
wait_until 60 all_out "$TMP/in" --split 1000000
took=$(($(date +%s) - began))
INSTANCE=one-$ID && first=$(board '[x["rebuilds"] for x in s]')
INSTANCE=two-$ID && second=$(board '[x["rebuilds"] for x in s]')
said=$(grep -c 'two owners' "$TMP/log") || fail "not said"
echo "in $took s: taken $first and $second times by shard, said $said times"
# Waiting 1, 2, 4, 8, 16, 30 s between two takings: at most six in the first minute, for each side.
limit=$((6 + took / 20))
python3 -c "import sys; sys.exit(max($first + $second) > $limit)" || fail "stolen too often"
[ "$said" -le $((4 + took / 15)) ] || fail "said too often"
DAEMON=$two && stop_spanbufd
INSTANCE=one-$ID DAEMON=$one && stop_spanbufd
all_out "$TMP/in" --split 1000000 || fail "the books are wrong"
