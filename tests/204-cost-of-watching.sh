#!/bin/sh
# Reading a message costs no call of the system, however many workers are watched; and flushers that
# waited together do not look at Redis together from then on.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

command -v strace >/dev/null || skip "strace is not installed"
start_redis
start_kafka 16
generate --traces 400 --seed 83 >"$TMP/in"
count=$(wc -l <"$TMP/in")
start_spanbufd --flusher-processes auto --timeout 300 --root-timeout 300
wait_until 40 board_says 'len({x["holder"] for x in s}), {x["paused"] for x in s}' '(16, {0})'

# The worker's own thread; the threads of the client have work of their own to do.
strace -qq -c -U name,calls -o "$TMP/calls" -p "$(board 'w["ingest/0"]["pid"]')" 2>"$TMP/strace" &
tracer=$!
started $tracer
traced() { grep -q "TracerPid:.*$tracer" "/proc/$(board 'w["ingest/0"]["pid"]')/status"; }
wait_until 10 traced
produce "$IN" <"$TMP/in" >/dev/null
wait_until 40 board_says 'total("read")' "$count"
kill -INT "$tracer"
wait_until 10 gone "$tracer"
# Waiting is no cost, and some machines' clocks are a call.
calls=$(awk '$2 ~ /^[0-9]+$/ && $1 !~ /^(futex|poll|ppoll|clock_gettime|total)$/ { sum += $2 }
    END { print sum + 0 }' "$TMP/calls")
echo "$count messages, $calls calls"
[ "$calls" -gt 0 ] || fail "nothing was traced: $(cat "$TMP/calls" "$TMP/strace")"
[ "$calls" -lt $((count / 2)) ] || fail "too many calls: $(cat "$TMP/calls")"

# All wait for the same answer, and look at once when it comes; soon after they do so no longer.
kill -STOP "$REDIS"
began=$(date +%s)
past() { [ $(($(date +%s) - began)) -ge "$1" ]; }
wait_until 10 past 3
kill -CONT "$REDIS"
wait_until 30 past 15
# Ingest looks at all shards in one question; only the flushers are to be seen.
signal_worker STOP ingest/0
timeout 5 redis-cli -s "$REDIS_SOCKET" monitor >"$TMP/monitor" || true
signal_worker CONT ingest/0
python3 - "$TMP/monitor" <<'END' || fail "flushers look at Redis together"
import re, sys
looks = {}
for line in open(sys.argv[1]):
    if found := re.match(r"(\d+\.\d+) .*\{(\d+)\}:p", line):
        looks.setdefault(found[2], []).append(float(found[1]))
assert len(looks) == 16, sorted(looks)
# Where in a second each looks for the second time; how many of them in a fifth of it, at most.
at = [times[1] % 1 for times in looks.values()]
most = max(sum((other - one) % 1 < 0.2 for other in at) for one in at)
print("looks in a second:", sorted(round(x, 2) for x in at), "together:", most)
sys.exit(most > 12)
END
stop_spanbufd
