#!/bin/sh
# With leave-on-stop the other daemon has the partitions as soon as the first one has stopped;
# without it they wait for the one that stopped, and it finds them again.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 4
GROUP=$ID NAMESPACE=$ID
# Other members are others, also under one client.id: a farewell that waits for them takes 3 s.
options="--timeout 3 --root-timeout 2 --kafka client.id=same"
# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options --leave-on-stop true && one=$DAEMON
wait_until 30 board_says 'len(s)' 4
# shellcheck disable=SC2086
INSTANCE=two-$ID && start_spanbufd $options && two=$DAEMON
wait_until 30 board_says 'len(s)' 2
generate --traces 200 --seed 29 >"$TMP/in"
produce "$IN" <"$TMP/in" >/dev/null

INSTANCE=one-$ID DAEMON=$one
stops_within 3000 'another member'
INSTANCE=two-$ID DAEMON=$two
# The session lasts 45 s.
wait_until 10 board_says 'len(s)' 4
wait_until 30 all_out "$TMP/in"

# shellcheck disable=SC2086
INSTANCE=one-$ID && start_spanbufd $options && one=$DAEMON
wait_until 30 board_says 'len(s)' 2
INSTANCE=two-$ID DAEMON=$two
stop_spanbufd
# shellcheck disable=SC2086
start_spanbufd $options && two=$DAEMON
wait_until 10 board_says 'len(s)' 2
INSTANCE=one-$ID DAEMON=$one
board_says 'len(s)' 2 || fail "the partitions of a daemon that restarts have moved"
stop_spanbufd
INSTANCE=two-$ID DAEMON=$two
stop_spanbufd
check "$TMP/in"
