#!/bin/sh
# A dead-letter topic that takes nothing stops no segment, has none sent again, keeps no room from
# being made and holds up no stop; where letters fill the index no segment is torn, and reading
# pauses. Once it takes messages, all that waited gets there. Letters are no sign of the output.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
generate --traces 1 --spans-per-trace 4 --seed 80 >"$TMP/in"
# One more span of that trace, and one alone, which the output takes in no message.
python3 - "$TMP" <<'EOF'
import json, sys
folder = sys.argv[1]
*_, span = (json.loads(line) for line in open(folder + "/in"))
span.update(span_id="feed" * 4, is_segment=False, x="x" * 90000)
for name, trace in ("large", span["trace_id"]), ("alone", "feed" * 8):
    with open(f"{folder}/{name}", "w") as out:
        print(json.dumps(dict(span, trace_id=trace)), file=out)
EOF
start_spanbufd --timeout 3 --root-timeout 1 --dead-letter-topic "$DEAD" \
    --kafka-producer message.max.bytes=60000
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
tell_mock topic-error "$DEAD" topic-denied
# From then on it is known what is too large.
produce "$IN" <"$TMP/alone" >/dev/null
wait_until 40 grep -q 'dead letters).*grant' "$TMP/log"
cat "$TMP/in" "$TMP/large" | produce "$IN" >/dev/null
wait_until 20 all_out "$TMP/in"
# More than may be in flight at a time.
awk 'BEGIN { for (i = 0; i < 4000; i++) print "no span " i }' >"$TMP/bad"
produce "$IN" <"$TMP/bad" >/dev/null
for seed in 81 82 83; do
    generate --traces 40 --seed $seed | tee -a "$TMP/in" | produce "$IN" >/dev/null
    wait_until 20 all_out "$TMP/in"
done
board_says 'total("dead_letters")' 0 || fail "letters were settled that nobody took"
says 'refuses us (output)' && fail "the output takes all it is given"
tell_mock topic-error "$DEAD" none
wait_until 60 board_says 'total("dead_letters")' 4002
stop_spanbufd
check "$TMP/in"

# room_is_made SEED: a full Redis is emptied of segments though none is due, since the clock stands;
# what nobody takes is what is oldest.
room_is_made() {
    produce "$IN" <"$TMP/bad" >/dev/null
    wait_until 40 board_says 'total("read")' 4000
    generate --traces 700 --seed "$1" | tee "$TMP/more" | produce "$IN" >/dev/null
    more=$(wc -l <"$TMP/more")
    wait_until 40 board_says 'total("read")' $((more + 4000))
    redis_cli config set maxmemory 1 >/dev/null
    wait_until 60 board_says "total('delivered') > $more / 2" True
    board_says 'total("dead_letters"), {x["paused"] for x in s}' '(0, {5})' ||
        fail "something was read, or a letter settled that nobody took"
    redis_cli config set maxmemory 0 >/dev/null
}
start_slow() {
    start_spanbufd --timeout 600 --root-timeout 500 --compression none --dead-letter-topic "$DEAD"
    wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
}

start_slow
denied=$(said 'dead letters).*grant')
tell_mock topic-error "$DEAD" topic-denied
room_is_made 84
says 'dead letters).*grant' "$denied" || fail "the dead-letter topic took messages"
tell_mock topic-error "$DEAD" none
wait_until 60 board_says 'total("dead_letters")' 4000
stop_spanbufd

# Without a leader: what was sent hangs in flight.
tell_mock leader "$DEAD" 0 gone
start_slow
room_is_made 85
wait_until 30 says 'the dead-letter topic acknowledges nothing.*look at its leader'
says 'away (output)' && fail "the output takes all it is given"
stops_within 10000 "a dead-letter topic without a leader"
tell_mock leader "$DEAD" 0 1
start_slow
wait_until 60 board_says 'total("dead_letters")' 4000
stop_spanbufd

# An index full of letters: tearing what else is there would make no room.
IN=more-$IN OUT=more-$OUT GROUP=more-$ID NAMESPACE=more-$ID
for topic in "$IN" "$OUT"; do tell_mock topic "$topic" 1; done
start_spanbufd --timeout 600 --root-timeout 500 --dead-letter-topic "$DEAD" \
    --max-index-bytes 256KiB --backpressure-seconds 1
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
generate --traces 2 --seed 86 | produce "$IN" >/dev/null
denied=$(said 'dead letters).*grant')
tell_mock topic-error "$DEAD" topic-denied
echo 'no span' | produce "$IN" >/dev/null
wait_until 40 says 'dead letters).*grant' "$denied"
produce "$IN" <"$TMP/bad" >/dev/null
wait_until 30 board_says '{x["paused"] for x in s}' '{4}'
board_says 'total("delivered")' 0 || fail "segments were torn in vain"
wait_until 30 says 'dead letters fill the index.*rights'
tell_mock topic-error "$DEAD" none
wait_until 60 board_says 'total("dead_letters"), {x["paused"] for x in s}' '(4001, {0})'
wait_until 20 says 'dead letters fill the index.*works again'
board_says 'total("delivered")' 0 || fail "segments were torn"
stop_spanbufd

tell_mock topic-error "$OUT" topic-denied
start_spanbufd --timeout 3 --root-timeout 1 --dead-letter-topic "$DEAD"
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
wait_until 40 says '(output).*grant'
for letters in 1 2 3; do
    echo 'no span' | produce "$IN" >/dev/null
    wait_until 20 board_says 'total("dead_letters")' $letters
    board_says 'w["flusher/0"]["waiting_for"]' 1 || fail "the output is no longer waited for"
done
tell_mock topic-error "$OUT" none
wait_until 20 says '(output).*works again'
stop_spanbufd
