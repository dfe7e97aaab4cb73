#!/bin/sh
# A board that another user put there first is not used, and is never a reason to signal a process.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
name=foreign-$$
board=/dev/shm/spanbufd.$name
trap 'rm -f "$board"; clean_up' EXIT

refused() {
    expect_status 78 timeout 20 "$SPANBUFD" run --instance "$name" --bootstrap-servers 127.0.0.1:1
    grep -q "$1" "$TMP/answer" || fail "$(cat "$TMP/answer")"
    [ -e "$board" ] || fail "somebody else's file is gone"
}

# It is another user's, who would go on writing to it.
: >"$board"
chown nobody "$board"
chmod 666 "$board"
refused "was made by user $(id -u nobody)"
rm -f "$board"

# It is ours, and everyone may write to it.
: >"$board"
chmod 666 "$board"
refused 'others may write to it'
rm -f "$board"

# A true board in which another user's process is named: a copy of a running daemon's, locked.
start_redis
start_kafka
start_spanbufd
wait_until 30 board_says 'd["health"]' healthy
cp "/dev/shm/spanbufd.$INSTANCE" "$board"
chown nobody "$board"
python3 - "$board" >"$TMP/locked" <<'END' &
import fcntl, struct, sys, time
file = open(sys.argv[1], "r+b")
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
print("locked", flush=True)
time.sleep(60)
END
started $!
wait_until 10 grep -q locked "$TMP/locked"
expect_status 75 "$SPANBUFD" reload --instance "$name"
grep -q 'nothing is sent' "$TMP/answer" || fail "$(cat "$TMP/answer")"
board_says 'd["daemon"]["generation"]' 1 || fail "the daemon got the signal"
stop_spanbufd
