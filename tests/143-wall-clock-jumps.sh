#!/bin/sh
# The wall clock jumps an hour forward and hours back while the daemon waits: nobody hangs until it
# has caught up, nobody is killed, and no segment is torn or late by it.
# kafka: both
. "$(dirname "$0")/lib/common.sh"

# jump SECONDS: for every process of the daemon the wall clock is off by so much from now on.
jump() {
    python3 -c 'import os, struct, sys
os.pwrite(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), struct.pack("q", int(sys.argv[2])), 0)' \
        "$TMP/jump" "$1"
}
# across SEED SECONDS PERCENT: so much of some traces is written and read, then comes the jump, then
# the rest. Where no rest comes, nothing wakes up who waits for a message.
across() {
    generate --traces 30 --seed "$1" >"$TMP/part"
    cat "$TMP/part" >>"$TMP/in"
    first=$(($(wc -l <"$TMP/part") * $3 / 100))
    head -n "$first" "$TMP/part" | produce "$IN" >/dev/null
    wait_until 10 board_says 'total("read")' "$((known + first))"
    jump "$2"
    tail -n +$((first + 1)) "$TMP/part" | produce "$IN" >/dev/null
    known=$(wc -l <"$TMP/in")
    # Longer than a worker may hang.
    wait_until 8 all_out "$TMP/in"
    board_says '[n for n, x in w.items() if x["restarts"] or x["state"] != "healthy"]' '[]' ||
        fail "somebody hung"
}

cc -Wall -Wextra -Werror -shared -fPIC -o "$TMP/jump.so" "$ROOT/tests/lib/jump.c"
start_redis
start_kafka 2
known=0
jump 0
export JUMP="$TMP/jump" LD_PRELOAD="$TMP/jump.so"
start_spanbufd --flusher-processes 2 --timeout 6 --root-timeout 6 --max-unhealthy-seconds 5
unset LD_PRELOAD
wait_until 20 board_says 'sorted(x["holder"] is not None for x in s)' '[True, True]'
across 1 3600 50
across 2 0 50
across 3 3600 100
across 4 -3600 100
stop_spanbufd
# It did live an hour ago.
said_at=$(date -d "$(tail -n 1 "$TMP/log" | cut -d' ' -f1)" +%s)
[ $(($(date +%s) - said_at)) -gt 3000 ] || fail "the daemon's wall clock did not jump"
check "$TMP/in"
