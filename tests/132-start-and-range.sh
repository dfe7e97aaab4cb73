#!/bin/sh
# Where a group's first start begins, and what happens when retention eats what was not yet read: it
# is counted as lost, and reading goes on at the earliest offset, never silently at the end. A
# position behind the end is nobody's to guess about.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
for seed in 1 2 3; do generate --traces 20 --seed $seed >"$TMP/in.$seed"; done
count() { wc -l <"$TMP/in.$1"; }

produce "$IN" <"$TMP/in.1" >/dev/null
start_spanbufd --start-from latest --timeout 2 --root-timeout 1
wait_until 20 board_says 's[0]["position"]' "$(count 1)"
produce "$IN" <"$TMP/in.2" >/dev/null
wait_until 30 all_out "$TMP/in.2"
stop_spanbufd
check "$TMP/in.2"

# While nobody reads, the first ten of the next ones are removed.
at=$(($(count 1) + $(count 2)))
produce "$IN" <"$TMP/in.3" >/dev/null
"$TESTKIT" delete-records "$BOOTSTRAP" "$IN" 0 $((at + 10))
start_spanbufd --timeout 2 --root-timeout 1 --leave-on-stop true
wait_until 20 board_says 's[0]["lost"], s[0]["position"]' "(10, $((at + $(count 3))))"
grep -q "offsets $at to $((at + 10)) are lost" "$TMP/log" || fail "the loss is not in the log"
tail -n +11 "$TMP/in.3" | cat "$TMP/in.2" - >"$TMP/rest"
wait_until 30 all_out "$TMP/rest"
lost="['shard 0 has lost 10 offsets to retention']"
board_says '[x.split(", ")[0] for x in d["flaws"]]' "$lost" ||
    fail "not told after the gap, or something else is wrong"
stop_spanbufd
check "$TMP/rest"

# As after a truncation.
redis_cli flushall >/dev/null
"$TESTKIT" commit "$BOOTSTRAP" "$ID" "$IN" 0 100000
start_spanbufd --timeout 2 --root-timeout 1
ended 78 30
grep -q 'ends at offset .*before our position 100000.*reset the group' "$TMP/log" ||
    fail "the log does not say what to do"
