#!/bin/sh
# Kafka is away for a while: nobody is killed for waiting, and everything is delivered once.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 200 --seed 43 >"$TMP/in"
start_spanbufd --flusher-processes 2 --timeout 5 --root-timeout 4 --max-unhealthy-seconds 5
produce "$IN" <"$TMP/in"
wait_until 20 board_says 'total("read")' "$(wc -l <"$TMP/in")"
tell_mock down
# Longer than max-unhealthy-seconds and than every deadline.
end=$(($(date +%s) + 8))
while [ "$(date +%s)" -lt $end ]; do
    board_says 'max(x["heartbeat_age_ms"] for x in w.values()) < 4500' True ||
        fail "a worker's loop does not turn"
done
board_says 'total("delivered")' 0 || fail "delivered to a broker that is away"
tell_mock up
wait_until 60 all_out "$TMP/in"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
check "$TMP/in" --doubled 1000000
