#!/bin/sh
# Processes that can open no more files: what is connected goes on, what is not says why and what to
# do, nobody is killed, and with the limit raised all goes on.
# kafka: mock
. "$(dirname "$0")/lib/common.sh"

# limit FILES: for all workers, and no further than it may be raised again.
limit() {
    for who in ingest/0 flusher/0 flusher/1; do
        prlimit --pid "$(board "w['$who']['pid']")" --nofile="$1:"
    done
}
# all_say WHAT: so do all workers, and that no more files can be opened.
all_say() {
    for who in ingest/0 flusher/0 flusher/1; do
        says "$who: .*$1.*can open no more files: raise LimitNOFILE" || return 1
    done
}

# For longer than a worker may hang.
long() { "$SPANBUFD" status --instance "$INSTANCE" | grep -Eq 'is not read for ([6-9]|[1-9].)\.'; }

start_redis
start_kafka 2
start_spanbufd --flusher-processes 2 --timeout 3 --root-timeout 2 --max-unhealthy-seconds 5
wait_until 20 board_says 'sorted(x["holder"] is not None for x in s)' '[True, True]'
more 20
wait_until 10 all_out "$TMP/in"
limit 3
more 20
wait_until 10 all_out "$TMP/in"
redis_cli client kill type normal >/dev/null
more 20
wait_until 20 all_say 'cannot connect to redis'
tell_mock down
wait_until 20 all_say 'Kafka is away'
tell_mock up
wait_until 20 long
limit 1024
wait_until 30 all_out "$TMP/in"
wait_until 20 board_says '[n for n, x in w.items() if x["state"] != "healthy" or x["restarts"]]' \
    '[]'
stop_spanbufd
check "$TMP/in"
