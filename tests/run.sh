#!/bin/sh
# Installs what is missing, builds once, runs the cargo tests and the shell tests in order.
#
# `sh tests/run.sh [FILTER]`: only shell tests whose name contains FILTER, no cargo tests.
# Each shell test runs in its own PID namespace, so that nothing it kills is anyone else's.
# A test's header may say `# timeout: N` (seconds, default 120).
# The last line is exactly `N passed, N failed, N skipped`.
set -eu

cd "$(dirname "$0")/.."
FILTER=${1:-}
passed=0
failed=0
skipped=0
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/spanbufd-run.XXXXXX")
trap 'rm -rf "$LOGS"' EXIT

# The packages of those commands that are not there; `command:package` each.
missing() {
    for pair in redis-server:redis-server cc:build-essential make:make \
        pkg-config:pkg-config mandoc:mandoc shellcheck:shellcheck python3:python3; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || printf ' %s' "${pair#*:}"
    done
    [ -e /usr/include/openssl/ssl.h ] || printf ' libssl-dev'
    [ -e /usr/include/zlib.h ] || printf ' zlib1g-dev'
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
    passed=$((passed + $1)); failed=$((failed + $2)); skipped=$((skipped + $3))
    if [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; then failed=$((failed + 1)); fi
}

can_isolate() { unshare --pid --fork --mount-proc --kill-child true 2>/dev/null; }

skipped_one() {
    skipped=$((skipped + 1))
    if [ "${CI:-}" = true ]; then
        echo "a skip is a failure in CI: $1"
        skipped=$((skipped - 1)); failed=$((failed + 1))
    fi
}

shell_test() {
    limit=$(sed -n '1,6s/^# timeout: *\([0-9]*\).*/\1/p' "$1")
    began=$(date +%s)
    status=0
    timeout --kill-after=10 "${limit:-120}" unshare --pid --fork --mount-proc --kill-child \
        sh "$1" >"$LOGS/test" 2>&1 || status=$?
    took=$(($(date +%s) - began))
    case $status in
        0) passed=$((passed + 1)); echo "ok   $1 (${took} s)" ;;
        77) echo "skip $1: $(tail -n 1 "$LOGS/test")"; skipped_one "$1" ;;
        *) failed=$((failed + 1)); echo "FAIL $1 (${took} s, status $status)"
            tail -n 40 "$LOGS/test" ;;
    esac
}

install_needs
cargo build --bins --examples
[ -n "$FILTER" ] || cargo_tests
for test in tests/[0-9][0-9][0-9]-*.sh; do
    case ${test##*/} in *"$FILTER"*) ;; *) continue ;; esac
    if can_isolate; then shell_test "$test"
    else echo "skip $test: no PID namespace here (run as root)"; skipped_one "$test"; fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
