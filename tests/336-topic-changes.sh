#!/bin/sh
# Partitions that are added while the daemon runs are read, also when nobody is the group's leader
# any more (a static member that leads was replaced), and from their beginning: start-from is for
# those that the group begins with. A topic that is deleted and made again is
# another life that begins at its start, and what was buffered of the old one is not mixed in.
# kafka: apache
# timeout: 180
. "$(dirname "$0")/lib/common.sh"

options="--start-from latest --timeout 3 --root-timeout 2"
options="$options --kafka topic.metadata.refresh.interval.ms=5000"
start_redis
start_kafka 2
# shellcheck disable=SC2086
start_spanbufd $options --leave-on-stop true
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
generate --traces 50 --seed 81 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null
ingest=$(board 'w["ingest/0"]["pid"]')
kill -KILL "$ingest"
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
wait_until 30 all_out "$TMP/in"
generate --traces 50 --seed 82 >"$TMP/early"
cat "$TMP/early" >>"$TMP/in"
"$TESTKIT" add-partitions "$BOOTSTRAP" "$IN" 4
# Written before the daemon knows of them (most of the times), and after.
produce "$IN" --partition 2 <"$TMP/early" >/dev/null
wait_until 20 board_says 'len(s), {x["paused"] for x in s}' '(4, {0})'
generate --traces 50 --seed 83 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 30 all_out "$TMP/in"
board_says 'min(x["read"] for x in s) > 0' True || fail "a new partition is not read"

# Made anew while the daemon runs.
"$TESTKIT" delete-topic "$BOOTSTRAP" "$IN"
wait_until 30 board_says 'len(s)' 0
wait_until 30 "$TESTKIT" create-topic "$BOOTSTRAP" "$IN" 4
generate --traces 50 --seed 84 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 40 all_out "$TMP/in"
wait_until 10 board_says 'd["health"]' healthy
stop_spanbufd

# Made anew while it does not run.
"$TESTKIT" delete-topic "$BOOTSTRAP" "$IN"
wait_until 30 "$TESTKIT" create-topic "$BOOTSTRAP" "$IN" 4
generate --traces 50 --seed 85 | tee -a "$TMP/in" | produce "$IN" >/dev/null
# shellcheck disable=SC2086
start_spanbufd $options
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
