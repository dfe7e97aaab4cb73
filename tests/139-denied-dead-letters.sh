#!/bin/sh
# A dead-letter topic that takes nothing stops no segment; when it takes messages again, all that
# waited gets there.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
start_spanbufd --timeout 3 --root-timeout 1 --dead-letter-topic "$DEAD"
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
# More than may be in flight at a time.
tell_mock topic-error "$DEAD" topic-denied
awk 'BEGIN { for (i = 0; i < 4000; i++) print "no span " i }' >"$TMP/bad"
produce "$IN" <"$TMP/bad" >/dev/null
wait_until 40 grep -q 'output).*grant' "$TMP/log"
for seed in 81 82 83; do
    generate --traces 40 --seed $seed | tee -a "$TMP/in" | produce "$IN" >/dev/null
    wait_until 20 all_out "$TMP/in"
done
board_says 'total("dead_letters")' 0 || fail "letters were settled that nobody took"
tell_mock topic-error "$DEAD" none
wait_until 60 board_says 'total("dead_letters")' 4000
stop_spanbufd
check "$TMP/in"

# Nor does it keep room from being made: what nobody takes is the oldest, the clock stands.
start_spanbufd --timeout 600 --root-timeout 500 --compression none --dead-letter-topic "$DEAD"
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
tell_mock topic-error "$DEAD" topic-denied
denied=$(said 'output).*grant')
produce "$IN" <"$TMP/bad" >/dev/null
wait_until 40 says 'output).*grant' "$denied"
generate --traces 700 --seed 84 >"$TMP/more"
produce "$IN" <"$TMP/more" >/dev/null
more=$(wc -l <"$TMP/more")
wait_until 40 board_says 'total("read")' $((more + 4000))
redis_cli config set maxmemory 1 >/dev/null
wait_until 60 board_says "total('delivered') > $more / 2" True
board_says 'total("dead_letters"), {x["paused"] for x in s}' '(0, {5})' ||
    fail "something was read, or a letter settled that nobody took"
redis_cli config set maxmemory 0 >/dev/null
tell_mock topic-error "$DEAD" none
wait_until 60 board_says 'total("dead_letters")' 4000
stop_spanbufd
