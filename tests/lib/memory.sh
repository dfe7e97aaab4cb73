# The bounds by the formulas of spanbufd-design(7), Memory, and what the processes had at most. All
# in MiB. Sourced by the tests that ask.
# shellcheck shell=sh

# What a message of the input and two seconds of it in the index have at most, in these tests.
MESSAGE_MIB=1 TWO_SECONDS_MIB=16
# max-segment-bytes; a test that sets it says so here.
SEGMENT_MIB=10

# formula KIND: as the page has it.
formula() { sed -n "s/^$1  *\(32 + .*)\)  .*/\1/p" "$ROOT/man/spanbufd-design.7" | head -n 1; }

# bound KIND SHARDS INDEX: with the default batches (4 MiB) and messages read ahead (16 MiB).
bound() {
    b=4 m=$MESSAGE_MIB n=$2 i=$3 s=$SEGMENT_MIB
    case $1 in
        supervisor) echo 24 ;;
        ingest) echo $(($(formula ingest))) ;;
        flusher) echo $(($(formula flusher) + TWO_SECONDS_MIB)) ;;
    esac
}

pid_of() { if [ "$1" = supervisor ]; then echo "$DAEMON"; else board "w['$1/0']['pid']"; fi; }
peak() { awk -v word="^$2" '$0 ~ word { print int($2 / 1024) }' "/proc/$(pid_of "$1")/status"; }

# memory_is_bounded SHARDS INDEX: the first worker of each kind, since its birth.
memory_is_bounded() {
    for kind in supervisor ingest flusher; do
        most=$(peak $kind VmHWM) bound=$(bound $kind "$1" "$2")
        echo "$kind: resident $most of $bound MiB at most, address space $(peak $kind VmPeak) MiB"
        [ "$most" -le "$bound" ] || fail "$kind had $most MiB, its bound is $bound"
    done
    board_says 'sum(x["restarts"] for x in w.values())' 0 || fail "a worker was restarted"
}
