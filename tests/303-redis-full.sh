#!/bin/sh
# A full Redis pauses reading and still drains; reading goes on by itself, and nothing is lost.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 300 --seed 41 >"$TMP/in"
split -n l/2 "$TMP/in" "$TMP/part."
start_spanbufd --flusher-processes 2 --timeout 15 --root-timeout 12
produce "$IN" <"$TMP/part.aa" >/dev/null
first=$(wc -l <"$TMP/part.aa")
wait_until 20 board_says 'total("read")' "$first"
redis_cli config set maxmemory 1 >/dev/null
produce "$IN" <"$TMP/part.ab" >/dev/null
# Paused for memory (5) or because Redis refuses (2); the clocks stand, and so do deadlines.
wait_until 10 board_says 'all(x["paused"] in (2, 5) for x in s)' True
clocks='[x["clock"] for x in s], {x["frozen"] for x in s}'
stand=$(board "$clocks")
holds 3 board_says "$clocks" "$stand"
board_says 'total("read")' "$first" || fail "something was read into a full Redis"
redis_cli config set maxmemory 0 >/dev/null
wait_until 60 all_out "$TMP/in"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in"
