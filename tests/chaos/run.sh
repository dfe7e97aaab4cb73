#!/bin/sh
# Chaos: Apache Kafka, Redis and daemons under faults from one seed; then every span is counted.
#
# `sh tests/chaos/run.sh [--seed N] [--seconds N] [--rate N] [--keep]`: without --seed a fresh one
# is drawn and printed; with it the same faults come again in the same order at the same times. Lost
# must be 0. --seconds is the length of the phase with faults (300). Runs in a PID namespace of its
# own; --keep keeps the folder with all logs also when nothing was wrong: then it ends with 1, too.
#
# Most traces that come out split are so by the load ("right"): its messages overtake each other by
# seconds, and the timeouts are two and three. Of others ("wrong") there are few: what was delivered
# comes again in other company when Redis has lost it, and when a broker dies its producer may come
# back to it later than the daemon, whose clock goes on.
if [ -z "${SPANBUFD_CHAOS:-}" ]; then
    SPANBUFD_CHAOS=1 exec unshare --pid --fork --mount-proc --kill-child sh "$0" "$@"
fi
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/tests/lib/common.sh"

fetch_apache || skip "Apache Kafka cannot be had"
format_apache "$TMP/kafka"
# Not in a pipe and not by exec: the trap of common.sh ends what is left and keeps a failed folder.
python3 "$ROOT/tests/chaos/driver.py" --folder "$TMP" --bootstrap "$APACHE" \
    --kafka-libs "$KAFKA_CACHE/libs" "$@"
