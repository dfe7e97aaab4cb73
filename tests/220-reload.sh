#!/bin/sh
# A good configuration is taken over by replacing the workers one at a time; a bad one, a client
# property included, is refused with 78 and changes nothing. Nothing is lost either way.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 100 --seed 29 >"$TMP/in"
echo 'root-timeout = 250
timeout = 300' >"$TMP/conf"
start_spanbufd --config "$TMP/conf" --flusher-processes 2
wait_until 30 board_says 'd["health"]' healthy
produce "$IN" <"$TMP/in"
wait_until 20 board_says 'total("open_spans")' "$(wc -l <"$TMP/in")"
before=$(board '[x["pid"] for x in w.values()]')

echo 'root-timeout = never' >"$TMP/conf"
expect_status 78 "$SPANBUFD" reload --instance "$INSTANCE"
echo 'kafka-consumer = no.such.property=1' >"$TMP/conf"
expect_status 78 "$SPANBUFD" reload --instance "$INSTANCE"
echo "redis-password-file = $TMP/no-such-file" >"$TMP/conf"
expect_status 78 "$SPANBUFD" reload --instance "$INSTANCE"
board_says '[x["pid"] for x in w.values()]' "$before" || fail "a refused file changed a worker"
board_says 'd["daemon"]["generation"], d["daemon"]["reload_failed"]' '(1, 3)' || fail "generation"

# The level is the supervisor's too; the partitions wait for a restart, or not all would come out.
echo 'root-timeout = 1
timeout = 2
log-level = warn
partitions = 0' >"$TMP/conf"
expect_status 0 "$SPANBUFD" reload --instance "$INSTANCE"
[ ! -s "$TMP/answer" ] || fail "a reload that worked has something to say: $(cat "$TMP/answer")"
grep -q 'partitions has changed: that takes a restart' "$TMP/log" || fail "no word of what waits"
if grep -q 'INFO .*reloaded: ' "$TMP/log"; then fail "the supervisor keeps its old level"; fi
board_says 'd["daemon"]["generation"], [x["generation"] for x in w.values()]' '(2, [2, 2, 2])' ||
    fail "not all workers run with the new configuration"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a replacement counted as a restart"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
