#!/bin/sh
# While a backlog is worked off, segments are gathered for 200 ms; dead letters, of which a thousand
# may be on their way, do not wait for that.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
start_spanbufd --timeout 3 --root-timeout 1 --dead-letter-topic "$DEAD"
wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(1, {0})'
tell_mock topic-error "$DEAD" topic-denied
began=$(($(date +%s) - 100000))
seq 60000 | sed 's/^/no span /' | produce "$IN" --at-ms ${began}000 >/dev/null
wait_until 40 board_says 'total("read")' 60000
# From now on the shard's clock runs twenty times as fast as time.
mkfifo "$TMP/feed"
produce "$IN" <"$TMP/feed" >/dev/null &
started $!
python3 -c '
import itertools, json, sys, time
for at_ms in itertools.count(int(sys.argv[1]) * 1000, 2000):
    print(json.dumps({"raw": "no span either", "at_ms": at_ms}), flush=True)
    time.sleep(0.1)' "$began" >"$TMP/feed" &
feed=$!
started "$feed"
wait_until 20 board_says 'total("read") > 60010' True
tell_mock topic-error "$DEAD" none
# The next try comes within 2 s. A thousand in 200 ms would be 12 s.
wait_until 9 board_says 'total("dead_letters") > 60000' True
kill "$feed"
wait_until 20 board_says 'total("read") - total("dead_letters")' 0
stop_spanbufd
