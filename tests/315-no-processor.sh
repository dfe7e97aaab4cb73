#!/bin/sh
# Others take the processor: the daemon starts and works on some hundredths of one. Nobody is taken
# for dead, nothing is lost or doubled, and all is as before when they have gone.
# kafka: mock
# timeout: 300
. "$(dirname "$0")/lib/common.sh"

# The one processor that the daemon has, and who else wants it.
CPU=$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')
cat >"$TMP/starved" <<END
#!/bin/sh
exec taskset -c $CPU nice -n 19 $SPANBUFD "\$@"
END
chmod +x "$TMP/starved"
loops=
for _ in 1 2 3; do
    nice -n 5 taskset -c "$CPU" sh -c 'while :; do :; done' &
    started $!
    loops="$loops $!"
done

# ran: ms that all threads of the daemon have run, and that they have waited for it.
ran() {
    python3 - "$DAEMON" <<'END'
import glob, sys
pid = sys.argv[1]
children = open(f"/proc/{pid}/task/{pid}/children").read().split()
times = [0, 0]
for one in [pid, *children]:
    for name in glob.glob(f"/proc/{one}/task/*/schedstat"):
        times = [sum + int(ns) for sum, ns in zip(times, open(name).read().split())]
print(*(ns // 10**6 for ns in times))
END
}

start_redis
start_kafka
# With the session of any daemon, not the short one of tests.
real=$SPANBUFD SPANBUFD=$TMP/starved TEST_KAFKA=patient
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2 --start-timeout 30 \
    --max-unhealthy-seconds 30
SPANBUFD=$real TEST_KAFKA=mock
wait_until 60 board_says 'len({x["shard"] for x in s if not x["paused"]}), len(s)' '(4, 4)'
generate --traces 150 --seed 91 | tee "$TMP/in" | produce "$IN" >/dev/null
wait_until 120 board_says 'total("delivered")' "$(wc -l <"$TMP/in")"
times=$(ran)
echo "ran and waited to run for $times ms"
[ "${times#* }" -gt $((${times% *} * 3)) ] || fail "it was not starved"
# shellcheck disable=SC2086
kill $loops
generate --traces 150 --seed 92 | tee -a "$TMP/in" | produce "$IN" >/dev/null
wait_until 30 all_out "$TMP/in"
board_says '{(x["restarts"], x["failed_starts"], x["state"]) for x in w.values()}' \
    "{(0, 0, 'healthy')}" || fail "a worker was taken for dead"
says 'lost .* shards to the group' && fail "the membership did not survive"
stop_spanbufd
check "$TMP/in"
