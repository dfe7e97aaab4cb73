#!/bin/sh
# The name servers that know where Redis is fall silent, and then are slower than a call may be: no
# loop waits for them, it is said once with what to do, and it goes on by itself. A stop beside them
# is in order and in time.
# kafka: mock
# timeout: 180
. "$(dirname "$0")/lib/common.sh"

# silent: no name is known, no connection is left, and more is to be done.
silent() {
    rm "$TMP/pace"
    : >"$TMP/log"
    redis_cli client kill type normal skipme yes >/dev/null
    more 20
    for who in ingest flusher; do
        wait_until 20 says "$who/0: .*cannot look up redis.test.*answered yet; check .*resolv.conf"
    done
}

port=$(free_port)
start_redis --port "$port"
start_kafka 2
# Whatever begins with 127 is this machine; the port of name servers is one only.
server=$(python3 -c 'import random; print("127", *random.choices(range(1, 255), k=3), sep=".")')
echo 0 >"$TMP/pace"
python3 "$ROOT/tests/lib/names.py" "$server" redis.test "$TMP/pace" >"$TMP/names" &
started $!
wait_until 5 grep -q ready "$TMP/names"
echo "nameserver $server" >"$TMP/resolv.conf"
cat >"$TMP/spanbufd" <<EOF
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$TMP/resolv.conf" /etc/resolv.conf && exec "\$@"' \
    sh "$SPANBUFD" "\$@"
EOF
chmod +x "$TMP/spanbufd"
SPANBUFD=$TMP/spanbufd
start() {
    REDIS_IN_FILE=1 start_spanbufd --redis-url "redis://redis.test:$port" --timeout 3 \
        --root-timeout 2 --shutdown-timeout 8
    wait_until 40 board_says 'len(s), {x["paused"] for x in s}' '(2, {0})'
}
start
more 20
wait_until 20 all_out "$TMP/in"

silent
# The C library asks for ten seconds.
loops_turn 15 5000
[ "$(said 'WARN .*cannot look up')" -le 5 ] || fail "said $(said 'WARN .*cannot look up') times"
echo 0 >"$TMP/pace"
wait_until 30 says 'works again'
wait_until 30 all_out "$TMP/in"

# Longer than connecting may take.
silent
echo 3 >"$TMP/pace"
wait_until 60 all_out "$TMP/in"
echo 0 >"$TMP/pace"
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"

silent
stops_within 8000 'silent name servers'
echo 0 >"$TMP/pace"
start
wait_until 30 all_out "$TMP/in"
stop_spanbufd
check "$TMP/in"
