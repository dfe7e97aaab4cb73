# What every shell test sources: a private folder, one exit trap, waiting with a deadline.
#
# A test ends 0 (passed), 77 (skipped, with a line saying why) or anything else (failed).
# Whatever a test starts it registers with `started PID`; the trap ends it, by pid only.
# The folder of a failed test is kept and its path printed.
# shellcheck shell=sh
set -eu

ROOT=$(cd "$(dirname "$0")" && while [ ! -e Cargo.toml ]; do cd ..; done && pwd)
SPANBUFD=${SPANBUFD:-$ROOT/target/debug/spanbufd}
TESTKIT=${TESTKIT:-$ROOT/target/debug/examples/testkit}
TMP=$(mktemp -d "${TMPDIR:-/tmp}/spanbufd-test.XXXXXX")
STARTED=
DAEMON=
export SPANBUFD TESTKIT TMP

started() { STARTED="$1 $STARTED"; }

# True while the process is there and no zombie.
alive() {
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ]
}

clean_up() {
    status=$?
    trap - EXIT
    set +e
    for pid in $STARTED; do kill -TERM "$pid" 2>/dev/null; done
    for pid in $STARTED; do
        rounds=0
        while alive "$pid" && [ "$rounds" -lt 50 ]; do sleep 0.1; rounds=$((rounds + 1)); done
        alive "$pid" && kill -KILL "$pid" 2>/dev/null
    done
    # Daemons that had to be killed leave their boards; instances carry the name of the folder.
    rm -f /dev/shm/spanbufd.*"${TMP##*.}"*
    case $status in
        0 | 77) rm -rf "$TMP" ;;
        *) echo "kept: $TMP" >&2; [ ! -f "$TMP/log" ] || tail -n 30 "$TMP/log" >&2 ;;
    esac
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { echo "FAIL: $*" >&2; exit 1; }
skip() { echo "SKIP: $*"; exit 77; }

expect_status() {
    wanted=$1; shift
    got=0
    "$@" >"$TMP/answer" 2>&1 || got=$?
    [ "$got" -eq "$wanted" ] || { cat "$TMP/answer" >&2; fail "status $got, not $wanted: $*"; }
}

# wait_until SECONDS cmd…: polls ten times a second, prints the last answer on expiry. What is late
# arrives and what is lost does not: a count of spans gets twice the time, and no second try.
wait_until() {
    seconds=$1; shift
    [ "$1" != all_out ] || seconds=$((seconds * 2))
    deadline=$(($(date +%s) + seconds))
    until "$@" >"$TMP/answer" 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            cat "$TMP/answer" >&2
            fail "not within $seconds s: $*"
        fi
        sleep 0.1
    done
}

# holds SECONDS cmd…: true for so long.
holds() {
    holds_until=$(($(date +%s) + $1)); shift
    while [ "$(date +%s)" -lt $holds_until ]; do
        "$@" >"$TMP/answer" 2>&1 || { cat "$TMP/answer" >&2; fail "no longer so: $*"; }
        sleep 0.2
    done
}

gone() { ! alive "$1"; }

expect_obituary() { grep -Eq -- "$1" "$TMP/log" || fail "no obituary like '$1' in the log"; }

# start_spanbufd [flags…]: a daemon of this test's own, with short timeouts; $INSTANCE, $GROUP and
# $NAMESPACE may be set before. A second one is started under another INSTANCE. With REDIS_IN_FILE
# set, the flags do not name the Redis.
start_spanbufd() {
    INSTANCE=${INSTANCE:-$ID}
    set -- --instance "$INSTANCE" --bootstrap-servers "$BOOTSTRAP" --input-topic "$IN" \
        --output-topic "$OUT" --group-id "${GROUP:-$ID}" --namespace "${NAMESPACE:-$ID}" \
        --kafka-producer "compression.type=${COMPRESSION:-lz4}" "$@"
    [ -n "${REDIS_IN_FILE:-}" ] || set -- --redis-url "redis+unix://$REDIS_SOCKET" "$@"
    # The mock does not let a member go that says good-bye; only its session's end does.
    [ "$TEST_KAFKA" != mock ] || set -- "$@" --kafka-consumer session.timeout.ms=3000 \
        --kafka-consumer heartbeat.interval.ms=500
    "$SPANBUFD" run "$@" >>"$TMP/log" 2>&1 &
    DAEMON=$!
    started "$DAEMON"
}

# balanced: in every shard all that entered the buffer is accounted for.
balanced() { board_says '[x["shard"] for x in s if x["unaccounted"] != 0]' '[]'; }

# audit [options…]: of the daemon that was started last.
# shellcheck disable=SC2120
audit() {
    "$SPANBUFD" audit --bootstrap-servers "$BOOTSTRAP" --input-topic "$IN" \
        --group-id "${GROUP:-$ID}" --namespace "${NAMESPACE:-$ID}" \
        --redis-url "redis+unix://$REDIS_SOCKET" "$@"
}

# stop_spanbufd [SECONDS]: the books balance; then status 0, no child and no board left, no word in
# the log that must not be there, and an audit that finds nothing. Without Redis there are no books;
# a test that has just broken them sets NO_AUDIT.
stop_spanbufd() {
    alive "$DAEMON" || fail "the daemon was gone before it was stopped"
    wait_until 10 balanced
    children=$(cat "/proc/$DAEMON/task/$DAEMON/children" 2>/dev/null || true)
    kill -TERM "$DAEMON" || fail "the daemon was gone before it was stopped"
    wait_until "${1:-30}" gone "$DAEMON"
    got=0
    wait "$DAEMON" || got=$?
    [ "$got" -eq 0 ] || fail "the daemon ended with status $got"
    for child in $children; do gone "$child" || fail "child $child is left"; done
    [ ! -e "/dev/shm/spanbufd.$INSTANCE" ] || fail "the board is left in /dev/shm"
    if grep -E 'panicked|not yet implemented|BUG' "$TMP/log"; then fail "forbidden word"; fi
    # shellcheck disable=SC2119
    [ -n "${NO_AUDIT:-}" ] || ! redis_answers || audit >"$TMP/audit" 2>&1 ||
        { cat "$TMP/audit"; fail "the audit found something"; }
}

# ended STATUS: the daemon has ended by itself, with this status.
ended() {
    wait_until "${2:-20}" gone "$DAEMON"
    got=0
    wait "$DAEMON" || got=$?
    [ "$got" -eq "$1" ] || fail "the daemon ended with status $got, not $1"
}

# board EXPRESSION: a Python expression over the status, in which s is the list of shards, w the
# workers by name, and total(WORD) a sum over the shards.
board() {
    "$SPANBUFD" status --json --instance "$INSTANCE" | python3 -c '
import json, sys
d = json.load(sys.stdin)
s, w = d.get("shards", []), {x["worker"]: x for x in d.get("workers", [])}
def total(word): return sum(x[word] or 0 for x in s)
print(eval(sys.argv[1]))' "$1"
}

# signal_worker SIGNAL WORKER: waits until it runs; one that is being replaced has the pid 0, and
# that would mean this test itself.
signal_worker() {
    wait_until 20 board_says "w['$2']['pid'] > 1" True
    pid=$(board "w['$2']['pid']")
    [ "$pid" -gt 1 ] || fail "$2 has gone by itself"
    kill "-$1" "$pid"
}

# loops_turn SECONDS MS: for so long no heart stands for longer than that.
loops_turn() {
    holds "$1" board_says "max(x['heartbeat_age_ms'] for x in w.values()) < $2" True
}

board_says() { [ "$(board "$1")" = "$2" ] || { board "$1"; return 1; }; }

# stops_within MS WHAT: the daemon ends in order and in time though WHAT does not answer.
stops_within() {
    stopped_at=$(date +%s%N)
    kill -TERM "$DAEMON"
    ended 0
    took=$((($(date +%s%N) - stopped_at) / 1000000))
    echo "stopped beside $2 after $took ms"
    [ "$took" -lt "$1" ] || fail "the stop took longer than its deadline"
}

# said PATTERN: how many lines of the daemon's log say so; says PATTERN [N]: more than N.
said() { grep -c -- "$1" "$TMP/log" || true; }
says() { [ "$(said "$1")" -gt "${2:-0}" ]; }

# lasts SECONDS PATTERN OVER: it is said, once, and for so long not that OVER works again.
lasts() {
    wait_until 60 says "$2"
    holds "$1" is_not_over "$3"
    [ "$(said "$2")" -eq 1 ] || fail "said more than once: $2"
}
is_not_over() { ! says "$1.*works again"; }

# hear_notify: stands in for systemd from now on; told PATTERN: what the daemon has told it.
hear_notify() {
    python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)' "$TMP/notify" >>"$TMP/told" &
    started $!
    wait_until 10 test -S "$TMP/notify"
    export NOTIFY_SOCKET="$TMP/notify"
}
told() { grep -Eq -- "$1" "$TMP/told"; }

# consumed TOPIC FILE: everything that the topic holds now.
consumed() { consume "$1" >"$2" 2>"$2.err" || { cat "$2.err"; return 1; }; }

# all_out INPUT [check.py options…]: every span of INPUT is delivered; leaves $TMP/out.
all_out() {
    consumed "$OUT" "$TMP/out" || return 1
    input=$1; shift
    python3 "$ROOT/tests/lib/check.py" "$input" "$TMP/out" --doubled 1000000 "$@"
}

# check INPUT [options…]: the final count, printed.
check() {
    consumed "$OUT" "$TMP/out" || fail "cannot read $OUT"
    python3 "$ROOT/tests/lib/check.py" "$1" "$TMP/out" ${2:+"$2" "$3"} || fail "the books are wrong"
}

generate() { "$SPANBUFD" generate "$@"; }

# more TRACES [options of produce…]: so many new ones into the input topic, and into $TMP/in.
MORE_SEED=1000
more() {
    MORE_SEED=$((MORE_SEED + 1)) more_traces=$1; shift
    generate --traces "$more_traces" --seed $MORE_SEED | tee -a "$TMP/in" |
        produce "$IN" "$@" >/dev/null
}

. "$ROOT/tests/lib/redis.sh"
. "$ROOT/tests/lib/kafka.sh"
