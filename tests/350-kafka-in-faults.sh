#!/bin/sh
# What Kafka refuses on the input side is said once with what to do, waited out by everybody alive,
# said once when it is over and not before, and loses nothing: topic missing, group and topic
# denied, broker away, slow, commits and fetches refused, a worker that slept for longer than the
# group waits, a trace in two shards.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

# fault PATTERN ORDER…: the mock does that; the log says so.
fault() {
    pattern=$1; shift
    before=$(said "$pattern") || true
    tell_mock "$@"
    wait_until 40 says "$pattern" "$before"
}
# healed PATTERN: the log says that it is over, and what comes now gets through.
healed() {
    wait_until 40 says "$1.*works again" 0
    more 40
    wait_until 60 all_out "$TMP/in" --split 1000
}

start_redis
start_mock "dead:1"
ID=${TMP##*.} IN=in-$ID OUT=out-$ID
# The group is denied from the beginning, and the topic is missing.
tell_mock refuse find-coordinator group-denied 1000
start_spanbufd --timeout 4 --root-timeout 3 --max-unhealthy-seconds 8 \
    --kafka-consumer max.poll.interval.ms=6000 \
    --kafka-consumer topic.metadata.refresh.interval.ms=2000
lasts 5 'Kafka refuses us (input).*grant' 'Kafka refuses us (input)'
tell_mock accept find-coordinator
lasts 5 'a topic is missing (input).*create it' 'a topic is missing (input)'
tell_mock topic "$OUT" 2
tell_mock topic "$IN" 2
wait_until 40 says 'a topic is missing (input).*works again'
wait_until 40 says 'Kafka refuses us (input).*works again'
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
more 40
wait_until 30 all_out "$TMP/in"

# The topic is denied while it is read: fetches are refused, also when nothing is there.
: >"$TMP/log"
tell_mock refuse fetch topic-denied 100000
lasts 5 'Kafka refuses us (input).*Fetch.*grant' 'Kafka refuses us (input)'
tell_mock accept fetch
healed 'Kafka refuses us (input)'

fault 'Kafka is away (input).*check the brokers' down
wait_until 20 board_says 'w["ingest/0"]["waiting_for"] > 0' True
tell_mock up
healed 'Kafka is away (input)'

# Requests that are refused for a while: the client tries again, and nothing is said.
tell_mock refuse fetch not-leader 5
tell_mock refuse list-offsets timed-out 2
tell_mock refuse offset-commit timed-out 3
tell_mock delay 300
more 40
wait_until 60 all_out "$TMP/in"
tell_mock delay 0

# Stopped for longer than the group waits, and woken up before it is taken for hung.
before=$(said 'lost .* shards to the group') || true
ingest=$(board 'w["ingest/0"]["pid"]')
kill -STOP "$ingest"
holds 7 true
kill -CONT "$ingest"
wait_until 40 says 'lost .* shards to the group' "$before"
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
more 40
wait_until 60 all_out "$TMP/in"

# Half of them in the wrong partition: said once.
generate --traces 200 --seed 95 >"$TMP/strays"
split -n r/2 "$TMP/strays" "$TMP/strays."
produce "$IN" --partition 0 <"$TMP/strays.aa" >/dev/null
produce "$IN" --partition 1 <"$TMP/strays.ab" >/dev/null
wait_until 20 says 'a trace is in two partitions.*by trace_id' 0
cat "$TMP/strays" >>"$TMP/in"
wait_until 60 all_out "$TMP/in" --split 1000
[ "$(said 'a trace is in two partitions')" -eq 1 ] || fail "strays are said more than once"

board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd 40
lines=$(said librdkafka) || true
echo "$lines lines of librdkafka's own, $(wc -l <"$TMP/log") in all"
[ "$lines" -le 40 ] || fail "librdkafka floods the log"
all_out "$TMP/in" --split 1000 || fail "the books are wrong"
cat "$TMP/answer"
