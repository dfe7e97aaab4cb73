#!/bin/sh
# Where the daemon is process 1, as in a container, a reload reaches it; where process 1 is another
# program, nothing is sent to it.
. "$(dirname "$0")/lib/common.sh"

command -v nsenter >/dev/null || skip "nsenter is not installed"
INSTANCE=${TMP##*.}
echo 'max-batch-size = 500' >"$TMP/conf"
unshare --pid --fork --mount-proc --kill-child "$SPANBUFD" run --config "$TMP/conf" \
    --instance "$INSTANCE" --bootstrap-servers 127.0.0.1:1 --redis-url redis://127.0.0.1:1 \
    >"$TMP/log" 2>&1 &
outer=$!
started "$outer"
# It runs, and is process 1.
wait_until 20 board_says 'd["daemon"]["state"], d["daemon"]["pid"]' "('running', 1)"
daemon=$(tr -d ' ' <"/proc/$outer/task/$outer/children")

expect_status 75 "$SPANBUFD" reload --instance "$INSTANCE"
grep -q 'the init of this machine' "$TMP/answer" || fail "$(cat "$TMP/answer")"
echo 'max-batch-size = none' >"$TMP/conf"
expect_status 78 nsenter -t "$daemon" -p -m "$SPANBUFD" reload --instance "$INSTANCE"
board_says 'd["daemon"]["reloads"], d["daemon"]["reload_failed"]' '(1, 1)' || fail "reloads"
kill -TERM "$daemon"
wait_until 20 gone "$outer"
wait "$outer" || fail "the daemon ended with status $?"
