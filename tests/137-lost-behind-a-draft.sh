#!/bin/sh
# Retention eats what lies right behind messages that are read and not yet in Redis: those are kept,
# and exactly what was eaten is counted as lost.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
generate --traces 8 --seed 61 >"$TMP/in"
generate --traces 8 --seed 62 >"$TMP/more"
first=$(wc -l <"$TMP/in")
# A batch waits for a minute here, so what is read stays in the draft.
start_spanbufd --timeout 2 --root-timeout 1 --max-batch-time-ms 60000
wait_until 20 board_says 's[0]["position"]' 0
produce "$IN" <"$TMP/in" >/dev/null
wait_until 20 board_says 'bool(s[0]["clock"])' True
ingest=$(board 'w["ingest/0"]["pid"]')
kill -STOP "$ingest"
# The request for more that was under way when it stopped is answered without any.
sleep 1
produce "$IN" <"$TMP/more" >/dev/null
"$TESTKIT" delete-records "$BOOTSTRAP" "$IN" 0 $((first + 10))
kill -CONT "$ingest"
wait_until 30 board_says 's[0]["lost"]' 10
# The audit would say, rightly, that the floor's offsets are gone.
NO_AUDIT=1 stop_spanbufd
start_spanbufd --timeout 2 --root-timeout 1
tail -n +11 "$TMP/more" >>"$TMP/in"
wait_until 40 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
