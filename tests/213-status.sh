#!/bin/sh
# Status answers to other users if permitted, and while the supervisor is stuck; its exit status
# says how things are, and its JSON has the names of the manual pages.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka
generate --traces 50 >"$TMP/in"
expect_status 2 "$SPANBUFD" status --instance "nobody-$ID"
expect_status 2 "$SPANBUFD" status --json --instance "nobody-$ID"
expect_status 2 "$SPANBUFD" reload --instance "nobody-$ID"
grep -q 'is not running' "$TMP/answer" || fail "reload: $(cat "$TMP/answer")"
start_spanbufd --flusher-processes 2 --timeout 120 --root-timeout 100
produce "$IN" <"$TMP/in"
wait_until 20 board_says 'total("open_spans"), d["health"]' "($(wc -l <"$TMP/in"), 'healthy')"
status() { "$SPANBUFD" status --instance "$INSTANCE"; }
expect_status 0 status
[ "$(sed -n 1p "$TMP/answer")" = healthy ] || fail "the verdict is not the first line"
for word in 'up ' PID STATE AGE RESTARTS LAST-EXIT HEARTBEAT PROGRESS RSS WAITING-FOR \
    HOLDER CLOCK-LAG OPEN-SEGMENTS OLDEST-DUE INDEX LAG FLOOR-LAG FLOOR-AGE STATE flowing \
    'a second, since the start: read' 'total: read'; do
    grep -q -- "$word" "$TMP/answer" || { cat "$TMP/answer"; fail "no $word"; }
done
# All is read, nothing is settled: the position has no lag, the floor has all of it.
board_says 'total("position_lag"), total("floor_lag")' "(0, $(wc -l <"$TMP/in"))" || fail "lags"
board_says 'all(x["floor_age_ms"] >= 0 and x["index"] > 0 and x["overdue_ms"] < 0
    and x["clock_lag_ms"] is not None for x in s if x["open_spans"])' True || fail "ages"

# Drawn each second, the second time with the rates of the moment; ends when nobody reads. Only a
# terminal is told to clear the screen.
timeout 30 "$SPANBUFD" status --watch --instance "$INSTANCE" | tee "$TMP/watched" |
    grep -m 1 -q 'a second, now: read' || fail "--watch shows no rates of the moment"
if grep -q "$(printf '\033')" "$TMP/watched"; then fail "a pipe gets escapes"; fi
timeout 30 python3 - "$INSTANCE" <<'END' || fail "a terminal gets no escapes"
import os, pty, subprocess, sys
terminal, side = pty.openpty()
command = [os.environ["SPANBUFD"], "status", "--watch", "--instance", sys.argv[1]]
watch = subprocess.Popen(command, stdout=side)
seen = b""
while b"a second, now: read" not in seen:
    seen += os.read(terminal, 65536)
watch.kill()
sys.exit(seen.count(b"\x1b[H\x1b[J") < 2)
END

"$SPANBUFD" status --json --instance "$INSTANCE" >"$TMP/json"
python3 - "$ROOT/man" "$TMP/json" <<'END' || fail "names that no manual page has, or a wrong null"
import json, re, sys
names = ("spanbufd.8", "spanbufd-design.7")
pages = "".join(open(f"{sys.argv[1]}/{name}").read() for name in names)
known = set(re.findall(r"^\.(?:It )?Ql ([a-z0-9_]+)", pages, re.M))
board = json.load(open(sys.argv[2]))
names = set(board)
for row in [board["daemon"], *board["workers"], *board["shards"], board["rates"], board["totals"]]:
    names |= set(row)
print("not in the manual pages:", names - known)
# Nobody has died or delivered, nothing is paused; all else is known.
rows = [board["daemon"], *board["workers"], *board["shards"]]
nulls = {name for row in rows for name, value in row.items() if value is None}
print("null:", nulls)
never = {"fenced", "last_exit", "leave_by", "paused_since",
         "lost_at", "unaccounted_since"}
never |= {f"lateness_{which}_ms" for which in ("p50", "p99", "max")}
sys.exit(bool(names - known) or nulls != never)
END

# Metrics: a figure of the JSON each, under its name; of a daemon that is not there, that.
expect_status 64 "$SPANBUFD" status --json --prometheus --instance "$INSTANCE"
expect_status 2 "$SPANBUFD" status --prometheus --instance "nobody-$ID"
grep -qx "spanbufd_status{daemon=\"nobody-$ID\"} 2" "$TMP/answer" || fail "$(cat "$TMP/answer")"
expect_status 0 "$SPANBUFD" status --prometheus --instance "$INSTANCE"
python3 - "$TMP/answer" "$TMP/json" <<'END' || fail "metrics that differ from the JSON"
import json, re, sys
lines = [line for line in open(sys.argv[1]) if line[0] != "#"]
have = {tuple(re.fullmatch(r"(\w+)\{(.*)\} \S+\n", line).groups()) for line in lines}
have = {(name, re.sub(r'daemon="[^"]*",?', "", labels)) for name, labels in have}
board = json.load(open(sys.argv[2]))
wanted = {("spanbufd_status", "")}
for kind, rows in ("worker", board["workers"]), ("shard", board["shards"]):
    for row in rows:
        wanted |= {(f"spanbufd_{kind}_{field}", f'{kind}="{row[kind]}"') for field, value
                   in row.items() if field in ("rss_bytes", "position_lag", "turns", "floor")}
wanted = {(name.replace("turns", "turns_total"), labels) for name, labels in wanted}
print("missing:", wanted - have)
sys.exit(bool(wanted - have) or len(wanted) < 10)
END

cp "$SPANBUFD" "$TMP/spanbufd" && chmod 755 "$TMP" "$TMP/spanbufd"
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/spanbufd" "$@"; }
expect_status 3 as_nobody status --instance "$INSTANCE"
grep -q 'Permission denied.*; be root or ' "$TMP/answer" || fail "status: $(cat "$TMP/answer")"
expect_status 3 as_nobody reload --instance "$INSTANCE"
grep -q 'Permission denied.*; be root or ' "$TMP/answer" || fail "reload: $(cat "$TMP/answer")"
chmod 644 "/dev/shm/spanbufd.$INSTANCE"
expect_status 0 as_nobody status --instance "$INSTANCE"
grep -Eq 'flusher/1 .* healthy .*[0-9][KM] ' "$TMP/answer" || fail "nobody sees no memory"
expect_status 75 as_nobody reload --instance "$INSTANCE"
grep -q 'cannot signal .*; run it as root or ' "$TMP/answer" || fail "reload: $(cat "$TMP/answer")"
[ "$(wc -l <"$TMP/answer")" -eq 1 ] || fail "more than one line: $(cat "$TMP/answer")"

kill -STOP "$DAEMON"
stuck() {
    status >"$TMP/text"
    [ $? -eq 1 ] && sed -n 1p "$TMP/text" | grep -q "^degraded: the supervisor's last turn is"
}
wait_until 15 stuck
kill -CONT "$DAEMON"
wait_until 10 board_says 'd["health"]' healthy
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
stop_spanbufd
expect_status 2 status
