#!/bin/sh
# Input that is written in transactions: behind the last message of a partition are markers, and
# whole aborted transactions, so reading never stands where the partition ends. The last traces fall
# due in their time all the same, also after a restart in that state, and while one aborted
# transaction follows the other; of the aborted spans none comes out, and all of the others.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

# commit SEED PARTITION and abort SEED PARTITION [TRACES]: one transaction.
commit() {
    generate --traces 20 --seed "$1" | tee -a "$TMP/in" |
        produce "$IN" --partition "$2" --transaction commit >/dev/null
}
abort() {
    generate --traces "${3:-20}" --seed "$1" |
        produce "$IN" --partition "$2" --transaction abort >/dev/null
}
begin() { start_spanbufd --flusher-processes 2 --timeout 4 --root-timeout 4; }
end() {
    stop_spanbufd
    known=$(wc -l <"$TMP/in")
}
# Everything that was written since the start is read, and nothing else. Aborted spans never are.
read_since() { board_says 'total("read")' "$(($(wc -l <"$TMP/in") - known))"; }
# Four seconds and what it takes to see that all is read; all_out counts twice.
due() { wait_until 5 all_out "$TMP/in"; }
# The partitions go on behind what is read, else this test proves nothing; yet there is no lag.
behind() { wait_until 5 has_no_lag && wait_until 5 goes_on; }
has_no_lag() { board_says '[(x["position_lag"], x["floor_lag"]) for x in s]' "$nothing"; }
nothing='[(0, 0), (0, 0), (0, 0)]'
goes_on() {
    "$TESTKIT" committed "$BOOTSTRAP" "$ID" "$IN" >"$TMP/ends"
    board_says "[json.loads(line)['high'] > x['position']
        for line, x in zip(open('$TMP/ends'), s)][:2]" '[True, True]'
}

start_redis
start_kafka 3
known=0
abort 1 0
commit 2 0
abort 3 1
commit 4 1
abort 5 1
abort 6 2
begin
due
behind

# While it runs: a committed one last, an aborted one last, and one that is long to skip.
commit 11 0
commit 12 1
abort 13 1 500
due
abort 14 0
commit 15 0
abort 16 0
due
behind

# Restarted with open traces in the buffer: nothing is left to be read.
commit 21 0
commit 22 1
abort 23 1
wait_until 20 read_since
end
all_out "$TMP/in" >/dev/null && fail "nothing was open at the restart"
begin
due
behind
read_since || fail "it has read what it knew"

# And with open traces when an aborted transaction, and one of each kind, came meanwhile.
commit 31 0
wait_until 20 read_since
end
abort 32 0
begin
commit 33 1
abort 34 1
abort 35 2
due
behind

# And while nothing but aborted transactions comes, one after the other.
generate --traces 20000 --seed 41 |
    produce "$IN" --partition 1 --transaction abort-each >"$TMP/aborted" 2>&1 &
aborts=$!
commit 42 1
due
kill -0 "$aborts" || fail "there are no more aborted transactions: $(cat "$TMP/aborted")"
kill "$aborts"
stop_spanbufd
check "$TMP/in"
