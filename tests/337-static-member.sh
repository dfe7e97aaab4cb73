#!/bin/sh
# A killed ingest worker, and a daemon that is stopped and started, read their own partitions again
# at once though the group's session lasts 45 s; of two with one name the older ends with status 78.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

now_ms() { echo $(($(date +%s%N) / 1000000)); }
spans() {
    generate --traces 50 --seed "$1" >"$TMP/in.$1"
    produce "$IN" <"$TMP/in.$1" >/dev/null
}
# Cheaper than `board`, which would be most of what is measured.
position() {
    "$SPANBUFD" status --json --instance "$INSTANCE" | tr ',' '\n' |
        awk -F: '/"position"/ { sum += $2 } END { print sum + 0 }'
}
# read_within MS WHAT: all that was produced is read within that time since $began.
read_within() {
    wanted=$(cat "$TMP"/in.* | wc -l)
    until [ "$(position)" -eq "$wanted" ]; do
        [ $(($(now_ms) - began)) -lt 30000 ] || fail "$2: not read within 30 s"
        sleep 0.02
    done
    took=$(($(now_ms) - began))
    echo "$2: read again after $took ms"
    [ "$took" -lt "$1" ] || fail "$2 took $took ms"
}

start_redis
start_kafka 4
start_spanbufd --timeout 5 --root-timeout 4
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' "(4, {0})"
began=$(now_ms) && spans 1 && read_within 10000 'a running worker'
for seed in 2 3; do
    ingest=$(board 'w["ingest/0"]["pid"]')
    # Stopped first, so that making the spans is not measured.
    kill -STOP "$ingest"
    spans $seed
    began=$(now_ms)
    kill -KILL "$ingest"
    read_within 2000 'ingest killed with -9'
done
stop_spanbufd
start_spanbufd --timeout 5 --root-timeout 4
wait_until 30 board_says 'len(s), {x["paused"] for x in s}' "(4, {0})"
stop_spanbufd
spans 4
began=$(now_ms)
start_spanbufd --timeout 5 --root-timeout 4
read_within 3000 'a stop and a start'
cat "$TMP"/in.* >"$TMP/in"
wait_until 30 all_out "$TMP/in"

# The same instance on a host of the same name, as another container would be.
first=$DAEMON
cat >"$TMP/spanbufd" <<EOF
#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "\$@"' sh "$SPANBUFD" "\$@"
EOF
chmod +x "$TMP/spanbufd"
SPANBUFD=$TMP/spanbufd
start_spanbufd --timeout 5 --root-timeout 4
second=$DAEMON DAEMON=$first
ended 78 60
says 'answered late by a broker that had hung: joining again' || fail "it gave up at once"
grep -q 'another consumer of group .* uses our group.instance.id' "$TMP/log" || fail "not said"
alive "$second" || fail "the newer daemon ended, too"
kill -TERM "$second"
wait_until 30 gone "$second"
check "$TMP/in" --doubled 1000000
