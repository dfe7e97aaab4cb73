#!/bin/sh
# A Redis that is full before the start drains: nothing is due, yet the oldest goes out early to
# make room, nothing is read meanwhile, and reading goes on by itself.
# kafka: both
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 700 --seed 53 >"$TMP/part.aa"
generate --traces 700 --seed 54 >"$TMP/part.ab"
cat "$TMP/part.aa" "$TMP/part.ab" >"$TMP/in"
first=$(wc -l <"$TMP/part.aa")
slow="--timeout 600 --root-timeout 500"
# shellcheck disable=SC2086
start_spanbufd $slow --flusher-processes 2 --compression none
produce "$IN" <"$TMP/part.aa" >/dev/null
wait_until 40 board_says 'total("open_spans")' "$first"
stop_spanbufd
redis_cli config set maxmemory 1 >/dev/null
produce "$IN" <"$TMP/part.ab" >/dev/null
# shellcheck disable=SC2086
start_spanbufd $slow --flusher-processes 2 --compression none
wait_until 40 board_says 'all(x["paused"] == 5 for x in s) and len(s) == 4' True
few_left() { [ "$(board 'total("open_spans")')" -lt $((first / 3)) ]; }
wait_until 60 few_left
board_says 'total("read")' 0 || fail "something was read into a full Redis"
redis_cli config set maxmemory 0 >/dev/null
wait_until 40 board_says 'total("read")' "$(wc -l <"$TMP/part.ab")"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
start_spanbufd --flusher-processes 2 --timeout 10 --root-timeout 8
wait_until 60 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
