#!/bin/sh
# Whatever Redis refuses for a while is said once with what to do, waited out by everybody alive,
# said once when it is over, and loses nothing. A row for each fault.
# kafka: mock
# timeout: 240
. "$(dirname "$0")/lib/common.sh"

config() { redis_cli config set "$@" >/dev/null; }
all_read() { board_says 'total("read")' "$(wc -l <"$TMP/in")"; }
kill_clients() { redis_cli client kill type normal skipme yes >/dev/null; }

loading_on() {
    redis_cli debug populate 3000 fill 100 >/dev/null
    config key-load-delay 1000
    redis_cli debug reload >/dev/null 2>&1 &
    RELOAD=$!
}
loading_off() { wait "$RELOAD"; }
readonly_on() { redis_cli replicaof 127.0.0.1 1 >/dev/null; }
readonly_off() { redis_cli replicaof no one >/dev/null; }
masterdown_on() { config replica-serve-stale-data no; readonly_on; }
masterdown_off() { readonly_off; }
# What has left cannot be settled: each try counts, and between two nothing works. One trace, so
# that no other shard has something to tell meanwhile.
noreplicas_on() {
    wait_until 40 all_out "$TMP/in"
    more 1
    wait_until 40 all_read
    config min-replicas-to-write 1
    wait_until 20 flusher_waits
    holds 3 flusher_waits
}
flusher_waits() { board_says 'w["flusher/0"]["waiting_for"]' 2; }
noreplicas_off() { config min-replicas-to-write 0; }
# The snapshot's name is taken by a folder.
misconf_on() {
    rm -f "$TMP/dump.rdb"
    mkdir "$TMP/dump.rdb"
    config save '3600 1000000'
    redis_cli bgsave >/dev/null
    wait_until 10 bgsave_failed
}
bgsave_failed() { redis_cli info persistence | grep -q 'rdb_last_bgsave_status:err'; }
misconf_off() { rmdir "$TMP/dump.rdb"; config save ''; redis_cli bgsave >/dev/null; }
busy_on() { redis_cli eval 'while true do end' 0 >/dev/null 2>&1 & }
busy_off() { redis_cli script kill >/dev/null; }
wrongpass_on() { config requirepass changed; REDISCLI_AUTH=changed; kill_clients; }
wrongpass_off() { config requirepass secret; REDISCLI_AUTH=secret; }
noperm_on() { redis_cli acl setuser default -evalsha >/dev/null; }
noperm_off() { redis_cli acl setuser default +evalsha >/dev/null; }
# A span that does not pack to less than Redis takes in one value.
bulk_on() {
    config proto-max-bulk-len 1mb
    generate --traces 1 --seed 799 | head -n 1 | python3 -c '
import base64, os, sys
span = sys.stdin.read().rstrip("}\n")
print(span, ",\"noise\":\"", base64.b64encode(os.urandom(1500000)).decode(), "\"}", sep="")' |
        tee -a "$TMP/in" | produce "$IN" >/dev/null
}
bulk_off() { config proto-max-bulk-len 512mb; }
# The one that takes the only place gives it back.
maxclients_on() {
    mkfifo "$TMP/control"
    redis-cli -s "$REDIS_SOCKET" <"$TMP/control" >/dev/null &
    started $!
    exec 8>"$TMP/control"
    printf 'config set maxclients 1\nclient kill type normal skipme yes\n' >&8
}
maxclients_off() { echo 'config set maxclients 1000' >&8; exec 8>&-; }
# Something listens, accepts nobody, and has no more room for who waits.
backlog_on() {
    mv "$REDIS_SOCKET" "$TMP/redis.away"
    python3 -c '
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(0)
waits = socket.socket(socket.AF_UNIX)
waits.connect(sys.argv[1])
time.sleep(3600)' "$REDIS_SOCKET" &
    LISTENER=$!
    started "$LISTENER"
    wait_until 10 test -S "$REDIS_SOCKET"
    redis-cli -s "$TMP/redis.away" client kill type normal skipme yes >/dev/null
}
backlog_off() {
    kill "$LISTENER"
    wait "$LISTENER" 2>/dev/null || true
    mv "$TMP/redis.away" "$REDIS_SOCKET"
}
# Seen by the next connection, else within a minute. Until it is mended nothing goes in.
evicts_on() {
    config maxmemory 4gb
    config maxmemory-policy allkeys-lru
    kill_clients
}
evicts_off() {
    wait_until 10 board_says '{x["paused"] for x in s}' '{2}'
    all_read && fail "read into a Redis that may evict"
    config maxmemory-policy noeviction
    config maxmemory 0
}
# Longer than a call may take.
pause_on() { redis_cli client pause 7000 all >/dev/null; }
pause_off() { :; }

# What this worker has said to be wrong is over: it says the next fault anew.
over() { ! says "WARN .*$1/0: the store" || says "INFO .*$1/0: the store .*works again"; }

# row NAME PATTERN: the fault comes, is said, goes, and is said to be over.
row() {
    : >"$TMP/log"
    "$1_on"
    more 5
    wait_until 40 says "WARN .*/0: .*$2"
    "$1_off"
    wait_until 40 all_read
    wait_until 40 says 'works again'
    for who in ingest flusher; do
        wait_until 40 over "$who"
        lines=$(grep -c "WARN .*$who/0: the store" "$TMP/log") || true
        [ "$lines" -le 4 ] || { cat "$TMP/log"; fail "$1: $lines warnings of the $who"; }
    done
}

REDISCLI_AUTH=secret
export REDISCLI_AUTH
umask 077
echo secret >"$TMP/password"
start_redis --requirepass secret --enable-debug-command yes --busy-reply-threshold 100 \
    --loading-process-events-interval-bytes 1024
start_kafka 2
REDIS_IN_FILE=1
start_spanbufd --redis-url "redis+unix://$REDIS_SOCKET" --redis-password-file "$TMP/password" \
    --timeout 3 --root-timeout 2
more 5
wait_until 40 all_read

row loading 'LOADING.*waited for'
row readonly 'READONLY.*promote it'
row masterdown 'MASTERDOWN.*promote it'
row noreplicas 'NOREPLICAS.*min-replicas-to-write'
row misconf 'MISCONF.*make room'
row busy 'BUSY.*SCRIPT KILL'
row wrongpass 'uthentication failed.*redis-password-file'
# With the rights of the page.
row noperm "NOPERM.*needs .*$(sed -n 's/^ACL SETUSER spanbufd .*\* //p' "$ROOT/man/spanbufd.8")"
row bulk 'cannot .*proto-max-bulk-len'
# Refused with a word, or cut off without one.
row maxclients 'maxclients'
row backlog 'cannot connect to .*timed out'
row evicts 'may evict our keys.*allkeys-lru; run .CONFIG SET maxmemory-policy noeviction'
row pause 'cannot read from .*go on trying'

# Scripts that are gone are loaded again without a word.
wait_until 60 all_out "$TMP/in"
: >"$TMP/log"
redis_cli script flush >/dev/null
more 5
wait_until 60 all_out "$TMP/in"
if grep -E 'WARN|ERROR' "$TMP/log"; then fail "something is said of scripts that are gone"; fi
board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
NO_AUDIT=1 stop_spanbufd
audit --redis-password-file "$TMP/password" >"$TMP/audit" 2>&1 ||
    { cat "$TMP/audit"; fail "the audit found something"; }
check "$TMP/in" --doubled 1000000
