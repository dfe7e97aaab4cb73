#!/bin/sh
# Installs what is missing, builds once, runs the cargo tests and the shell tests in order.
#
# `sh tests/run.sh [FILTER]`: only shell tests whose name contains FILTER, no cargo tests.
# They run in three lanes, since most of their time is waiting: one takes those against the Apache
# Kafka of the run, then those that start their own; two take all others. Whichever has nothing left
# helps the others, so all end about together.
# Each shell test runs in its own PID namespace, so that nothing it kills is anyone else's, and with
# its own /dev/shm, so that whatever boards it leaves go with it.
# A test's header may say `# timeout: N` (seconds, default 120) and `# kafka: both`: then it runs
# against librdkafka's mock cluster and against Apache Kafka, or `# kafka: mock`, `# kafka: apache`,
# or `# kafka: own`: it starts an Apache Kafka of its own.
# Where Maven Central cannot be reached, the Apache half is skipped; with CI=true that is a failure
# unless SPANBUFD_TEST_KAFKA=mock says that it is meant.
# The last line is exactly `N passed, N failed, N skipped`.
set -eu

cd "$(dirname "$0")/.."
FILTER=${1:-}
passed=0
failed=0
skipped=0
OTHER_LANES=
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/spanbufd-run.XXXXXX")
touch "$LOGS/counts"
APACHE_PID=
APACHE_IS=
JARS=
clean_up() {
    # shellcheck disable=SC2086
    [ -z "$OTHER_LANES" ] || kill -TERM $OTHER_LANES 2>/dev/null || true
    [ -z "$APACHE_PID" ] || end_apache
    rm -rf "$LOGS"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

TESTKIT=$PWD/target/debug/examples/testkit
export TESTKIT
# shellcheck source=tests/lib/kafka.sh
. "$PWD/tests/lib/kafka.sh"

# The packages of those commands that are not there; `command:package` each.
missing() {
    for pair in redis-server:redis-server cc:build-essential make:make \
        pkg-config:pkg-config mandoc:mandoc shellcheck:shellcheck python3:python3 \
        unshare:util-linux strace:strace java:default-jre-headless mvn:maven \
        systemd-analyze:systemd readelf:binutils; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || printf ' %s' "${pair#*:}"
    done
    [ -e /usr/include/openssl/ssl.h ] || printf ' libssl-dev'
    [ -e /usr/include/zlib.h ] || printf ' zlib1g-dev'
    # Debian's python3 has a venv that cannot make one without this.
    python3 -c 'import ensurepip' 2>/dev/null || printf ' python3-venv'
}

install_needs() {
    needs=$(missing)
    [ -n "$needs" ] || return 0
    echo "installing:$needs"
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $needs
}

# Adds up the `test result:` lines; a run that fails without one counts as one failure.
cargo_tests() {
    status=0
    cargo test --quiet --no-fail-fast >"$LOGS/cargo" 2>&1 || status=$?
    cat "$LOGS/cargo"
    sums=$(awk '/^test result:/ { p += $4; f += $6; i += $8 }
        END { print p + 0, f + 0, i + 0 }' "$LOGS/cargo")
    # shellcheck disable=SC2086
    set -- $sums
    passed=$1 failed=$2 skipped=$3
    if [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; then failed=$((failed + 1)); fi
}

# What it takes to be alone: $ALONE sh -c "$OWN_SHM" sh COMMAND…
ALONE='unshare --pid --fork --mount-proc --kill-child'
# shellcheck disable=SC2016
OWN_SHM='mount -t tmpfs tmpfs /dev/shm && exec "$@"'
can_isolate() { $ALONE sh -c "$OWN_SHM" sh true 2>/dev/null; }

# count WORD: one more passed, failed or skipped. The lanes count in one file.
count() { echo "$1" >>"$LOGS/counts"; }
counted() { grep -c "^$1$" "$LOGS/counts" || true; }

skipped_one() {
    if [ "${CI:-}" = true ]; then
        echo "a skip is a failure in CI: $1"
        count failed
    else
        count skipped
    fi
}

# header NAME CHARACTERS FILE: what the comment at its head says.
header() { sed -n "/^#/!q; s/^# $1: *\($2*\).*/\1/p" "$3"; }

# run_once FILE KAFKA LOG: KAFKA is mock, apache, or none. Sets status and took.
run_once() {
    limit=$(header timeout '[0-9]' "$1")
    began=$(date +%s)
    status=0
    # shellcheck disable=SC2086
    TEST_KAFKA=$2 timeout --kill-after=10 "${limit:-120}" $ALONE sh -c "$OWN_SHM" sh sh "$1" \
        >"$3" 2>&1 || status=$?
    took=$(($(date +%s) - began))
}

# A test that failed is run once more, and it is said with all that it printed: a busy machine or a
# moment that a test did not meet is no failure. What would be a defect of the daemon's is never
# given another try: losses and wrong counts, also where a test waited for them to become right
# (what is late has had its time, see wait_until in common.sh), panics and wrong statuses.
may_be_chance() {
    grep -q '^FAIL: ' "$1" &&
        ! grep -Eq '; lost [1-9]|invented [1-9]|wrong is_segment [1-9]' "$1" &&
        ! grep -Eq '^FAIL: (the books|the audit|forbidden|status|the daemon (ended|was))' "$1"
}

shell_test() {
    label=$1
    [ "$2" = none ] || label="$1 on $2"
    log=$LOGS/${1##*/}.$2
    run_once "$1" "$2" "$log"
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && may_be_chance "$log"; then
        echo "once more: $label (${took} s): $(grep '^FAIL: ' "$log")"
        tail -n 60 "$log"
        run_once "$1" "$2" "$log"
    fi
    case $status in
        0) count passed; echo "ok   $label (${took} s)" ;;
        77) echo "skip $label: $(tail -n 1 "$log")"; skipped_one "$label" ;;
        *) count failed
            { echo "FAIL $label (${took} s, status $status)"; tail -n 60 "$log"; } >"$log.end"
            cat "$log.end" ;;
    esac
}

# The kinds of Kafka that a test's header asks for.
kafkas() {
    asked=$(header kafka '[a-z]' "$1")
    case ${asked:-none} in
        both) echo "mock apache" ;;
        *) echo "${asked:-none}" ;;
    esac
}

# The tests that fit the filter, in order.
chosen() {
    for test in tests/[0-9][0-9][0-9]-*.sh; do
        case ${test##*/} in *"$FILTER"*) echo "$test" ;; esac
    done
}

wants_apache() {
    for test in $(chosen); do
        case $(kafkas "$test") in *apache | own) return 0 ;; esac
    done
    return 1
}

# Apache Kafka's jars are asked for once, before the lanes part: where they cannot be had, all are
# spared the wait.
ask_for_apache() {
    if wants_apache && [ "${SPANBUFD_TEST_KAFKA:-}" != mock ] && fetch_apache; then JARS=there; fi
}

# Whether there is what a test with this Kafka needs.
has_kafka() {
    case $1 in
        apache) [ -n "$JARS" ] && apache_is_up ;;
        own) [ -n "$JARS" ] ;;
    esac
}

# Starts the one Apache Kafka of this run, at the first test that needs it. It is tried once.
apache_is_up() {
    if [ -z "$APACHE_IS" ]; then
        APACHE_IS=down
        if start_apache "$LOGS/apache"; then APACHE_IS=up; fi
        export TEST_APACHE="$APACHE"
    fi
    [ "$APACHE_IS" = up ]
}

# Whether this lane is the first that wants to run this test with this Kafka.
claimed() { mkdir "$LOGS/claim.${1##*/}.$2" 2>/dev/null; }

# lane KAFKA[,KAFKA]…: a round for each word: all tests in order, as far as they ask for a Kafka
# that it names and no other lane has them.
lane() {
    for round in "$@"; do
        for test in $(chosen); do
            for kafka in $(kafkas "$test"); do
                case ",$round," in *",$kafka,"*) ;; *) continue ;; esac
                if claimed "$test" "$kafka"; then run_test "$test" "$kafka"; fi
            done
        done
    done
}

run_test() {
    if ! can_isolate; then
        echo "skip $1: no PID namespace here (run as root)"
        skipped_one "$1"
    elif ! has_kafka "$2"; then
        skip_apache "$1"
    else
        shell_test "$1" "$2"
    fi
}

# One loud line in all; every test counts as skipped.
skip_apache() {
    why="see $KAFKA_CACHE"
    [ "${SPANBUFD_TEST_KAFKA:-}" != mock ] || why="SPANBUFD_TEST_KAFKA is mock"
    mkdir "$LOGS/said" 2>/dev/null &&
        echo "!!! NO APACHE KAFKA: HALF OF THE KAFKA TESTS IS SKIPPED !!! ($why)"
    if [ "${SPANBUFD_TEST_KAFKA:-}" = mock ]; then
        count skipped
    else
        skipped_one "$1 on apache"
    fi
}

install_needs
cargo build --bins --examples
[ -n "$FILTER" ] || cargo_tests
ask_for_apache
lane mock,none own &
OTHER_LANES=$!
lane mock,none own &
OTHER_LANES="$OTHER_LANES $!"
lane apache own mock,none
# A lane that ended early has not run its tests: that ends the run.
for pid in $OTHER_LANES; do wait "$pid"; done
OTHER_LANES=
passed=$((passed + $(counted passed)))
failed=$((failed + $(counted failed)))
skipped=$((skipped + $(counted skipped)))
if [ $((passed + failed + skipped)) -eq 0 ]; then
    echo "no shell test has '$FILTER' in its name"
    failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
