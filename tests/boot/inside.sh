#!/bin/sh
# What tests/boot.sh runs as a service of the booted system: a package's whole life, step by step.
#
# /boot-test holds two versions of the package, testkit, check.py, and tls.conf where a TLS Kafka
# can be reached. Each step prints one line, `ok` or `FAIL`; after a failure the rest is still
# tried, since a boot is dear. Steps that need cgroups are skipped where they are not enforced.
set -u
cd /boot-test || exit 1
failed=0
export HOME=/root

# An emulated machine takes longer to produce the spans of a trace than timeouts have patience.
patience=2 split=0
systemd-detect-virt --container --quiet || patience=5 split=1000000

# step WORDS FUNCTION: runs it in a subshell with -e; its output is shown if it fails.
step() {
    began=$(date +%s)
    # Not as a condition: there the shell ignores -e.
    (set -e; "$2") >step.log 2>&1
    status=$?
    if [ "$status" -eq 0 ]; then
        echo "ok   $1 ($(($(date +%s) - began)) s)"
    else
        failed=$((failed + 1))
        echo "FAIL $1"
        sed 's/^/     /' step.log | tail -n 40
    fi
}

fail() { echo "$*"; exit 1; }
never() { if "$@"; then fail "must not be: $*"; fi; }
until_true() {
    end=$(($(date +%s) + $1)); shift
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || fail "not in time: $*"
        sleep 0.2
    done
}
show() { systemctl show --value -p "$2" "$1"; }
pid_of() { show "$1" MainPID; }
state() { [ "$(systemctl is-active "$1")" = "$2" ]; }
said() { journalctl --no-pager -u "$1" -o cat | grep -q "$2"; }
# board INSTANCE EXPRESSION: Python over the status d and its workers w.
board() {
    spanbufd status --json --instance "$1" | python3 -c '
import json, sys
d = json.load(sys.stdin)
w = {x["worker"]: x for x in d.get("workers", [])}
print(eval(sys.argv[1]))' "$2"
}
board_says() { [ "$(board "$1" "$2")" = "$3" ]; }
drop_in() {
    mkdir -p "/etc/systemd/system/$1.d"
    printf '[Service]\n%s\n' "$3" >"/etc/systemd/system/$1.d/$2.conf"
    reload_units
}

# A slow machine may not answer within the bus's time; asking again does no harm.
reload_units() { systemctl daemon-reload || systemctl daemon-reload; }

# through INSTANCE BOOTSTRAP IN OUT SEED: spans go in and come out whole; the topic may hold more.
through() {
    spanbufd generate --traces 30 --seed "$5" >"in.$5"
    cat "in.$5" >>"all.$1"
    ./testkit produce "$2" "$3" <"in.$5"
    until_true 240 all_out "$1" "$2" "$4"
}
# all_out INSTANCE BOOTSTRAP OUT
all_out() {
    ./testkit consume "$2" "$3" >"out.$1" &&
        python3 check.py "all.$1" "out.$1" --doubled 1000000 --split "$split"
}

files() {
    find / -xdev \( -path /boot-test -o -path /var/log -o -path /var/lib/dpkg -o -path /proc \
        -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/lib/redis \
        -o -path /var/lib/systemd -o -path /var/cache -o -path /root -o -path /dev \
        -o -path /etc/credstore \) -prune -o -print |
        grep -vxE '/etc/(passwd|group|shadow|gshadow|\.pwd\.lock)-?' | sort
}

installed() {
    files >files.before
    dpkg -i one.deb
    getent passwd spanbufd
    [ "$(stat -c %U:%G:%a /etc/spanbufd/spanbufd.conf)" = root:spanbufd:640 ]
    [ "$(systemctl is-enabled spanbufd || true)" = disabled ]
    state spanbufd inactive
    test -e /usr/share/man/man8/spanbufd.8.gz
    test -e /usr/share/bash-completion/completions/spanbufd
    spanbufd --version
    runuser -u spanbufd -- spanbufd check --config /etc/spanbufd/spanbufd.conf >/dev/null
}

units_are_sound() {
    verdict=$(systemd-analyze verify --man=no spanbufd.service spanbufd@x.service 2>&1)
    [ -z "$verdict" ] || fail "$verdict"
}

servers() {
    printf 'requirepass hunter2\nunixsocket /run/redis/redis-server.sock\nunixsocketperm 770\n' \
        >>/etc/redis/redis.conf
    systemctl restart redis-server
    systemd-run --quiet --unit=mock sh -c \
        'sleep infinity | /boot-test/testkit mock in:4 out:2 bin:2 bout:1 >/boot-test/mock.out'
    until_true 30 test -s mock.out
    printf 'hunter2\n' >/etc/credstore/spanbufd.redis-password
    cp /etc/credstore/spanbufd.redis-password /etc/credstore/spanbufd-b.redis-password
    cp /etc/credstore/spanbufd.redis-password /etc/credstore/spanbufd-tls.redis-password
    chmod 600 /etc/credstore/*
}

configure() {
    {
        printf 'bootstrap-servers = %s\n' "$(head -n 1 mock.out)"
        printf 'input-topic = in\noutput-topic = out\nroot-timeout = %s\n' "$patience"
        printf 'timeout = %s\n' $((patience + 2))
        printf 'kafka-consumer = session.timeout.ms=6000\n'
        printf 'kafka-consumer = heartbeat.interval.ms=1000\n'
    } >>/etc/spanbufd/spanbufd.conf
}

# oom_score NAME PID WANTED IN-A-CONTAINER
oom_score() {
    score=$(cat "/proc/$2/oom_score_adj")
    wanted=$3
    ! systemd-detect-virt --container --quiet || wanted=$4
    [ "$score" -eq "$wanted" ] || fail "the OOM score of $1 is $score, not $wanted"
}

status_line() { systemctl status --no-pager spanbufd | grep "$1"; }

started() {
    configure
    systemctl enable --now spanbufd
    state spanbufd active
    until_true 30 board_says default 'd["health"]' healthy
    until_true 30 status_line 'Status: "2 of 2 workers healthy'
    spanbufd status
    # Workers are taken first. A container may not lower the supervisor's score; a machine does.
    oom_score spanbufd "$(pid_of spanbufd)" -200 0
    oom_score flusher/0 "$(board default 'w["flusher/0"]["pid"]')" 500 500
    [ "$(ps -o user= -p "$(pid_of spanbufd)")" = spanbufd ]
    systemd-analyze security --no-pager --threshold=12 spanbufd.service | tail -n 1
}

spans_go_through() { through default "$(head -n 1 mock.out)" in out 1; }

journal_is_right() {
    journalctl -u spanbufd -o json --no-pager | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
ours = [row for row in rows if row.get("_EXE") == "/usr/sbin/spanbufd"
        and row.get("_TRANSPORT") == "stdout"]
assert len(ours) > 3, rows
assert not [row for row in ours if row["MESSAGE"].startswith("<")], ours
assert {row["PRIORITY"] for row in ours} & {"6"}, ours
names = {row["_COMM"] for row in ours}
assert {"spanbufd", "flusher/0", "ingest/0"} <= names, names
print(len(ours), names)'
    journalctl -u spanbufd _COMM=flusher/0 -o cat --no-pager | grep -q .
    # No password in what is said.
    journalctl -u spanbufd -o cat --no-pager >said
    never grep hunter2 said
}

no_secret_anywhere() {
    for process in $(pgrep -u spanbufd); do
        never grep -q hunter2 "/proc/$process/cmdline" "/proc/$process/environ"
        grep -q '^Max core file size *0 ' "/proc/$process/limits"
    done
    never grep -q hunter2 /dev/shm/spanbufd.default
}

reload_is_taken() {
    before=$(pid_of spanbufd)
    sed -i "s/^root-timeout = .*/root-timeout = $patience.5/" /etc/spanbufd/spanbufd.conf
    systemctl reload spanbufd
    board_says default 'd["daemon"]["generation"]' 2
    [ "$(pid_of spanbufd)" = "$before" ]
}

reload_is_refused() {
    before=$(board default '[x["pid"] for x in w.values()]')
    cp -p /etc/spanbufd/spanbufd.conf good.conf
    echo 'max-restarts = never' >>/etc/spanbufd/spanbufd.conf
    if systemctl reload spanbufd; then fail "a refused file was reloaded"; fi
    cp -p good.conf /etc/spanbufd/spanbufd.conf
    [ "$(board default '[x["pid"] for x in w.values()]')" = "$before" ]
    said spanbufd 'spanbufd.conf:[0-9]*: max-restarts = never'
    state spanbufd active
}

worker_is_replaced() {
    before=$(board default 'w["flusher/0"]["pid"]')
    kill -KILL "$before"
    until_true 20 board_says default 'w["flusher/0"]["restarts"]' 1
    until_true 20 said spanbufd 'flusher/0 .* signal 9'
    [ "$(show spanbufd NRestarts)" = 0 ]
    through default "$(head -n 1 mock.out)" in out 2
}

hung_supervisor() {
    drop_in spanbufd.service watchdog 'WatchdogSec=10s
RestartSec=1s'
    systemctl restart spanbufd
    before=$(pid_of spanbufd)
    kill -STOP "$before"
    until_true 90 said spanbufd 'Watchdog timeout'
    until_true 90 state spanbufd active
    [ "$(pid_of spanbufd)" != "$before" ]
    [ "$(show spanbufd NRestarts)" = 1 ]
    rm -r /etc/systemd/system/spanbufd.service.d
    reload_units
    systemctl restart spanbufd
    through default "$(head -n 1 mock.out)" in out 3
}

monitored() {
    mkdir -p /etc/systemd/system/spanbufd.service.d /var/lib/prometheus/node-exporter
    cp /usr/share/doc/spanbufd/examples/readable-board.conf /etc/systemd/system/spanbufd.service.d/
    cp /usr/share/doc/spanbufd/examples/spanbufd-metrics.* /etc/systemd/system/
    reload_units
    systemctl restart spanbufd
    until_true 30 runuser -u nobody -- spanbufd status
    systemctl start spanbufd-metrics.timer
    until_true 30 grep -qx 'spanbufd_status{daemon="default"} 0' \
        /var/lib/prometheus/node-exporter/spanbufd.prom
    runuser -u nobody -- cat /var/lib/prometheus/node-exporter/spanbufd.prom >/dev/null
    systemctl stop spanbufd-metrics.timer
    rm -r /etc/systemd/system/spanbufd.service.d /etc/systemd/system/spanbufd-metrics.* \
        /var/lib/prometheus
    reload_units
}

cgroups_are_enforced() { show spanbufd MemoryCurrent | grep -qE '^[0-9]+$'; }

memory_exhausted() {
    until_true 30 board_says default 'd["health"]' healthy
    before=$(pid_of spanbufd)
    kills=$(said_count 'signal 9')
    # Also after a failure, or every later start would fail of it.
    trap 'systemctl set-property --runtime spanbufd MemoryMax=infinity' EXIT
    # Of what the kernel cannot take back: file pages it would take first, for as long as they last.
    held=$(awk '$1 == "anon" || $1 == "shmem" { sum += $2 } END { print sum }' \
        "/sys/fs/cgroup$(show spanbufd ControlGroup)/memory.stat")
    systemctl set-property --runtime spanbufd "MemoryMax=$((held * 85 / 100))"
    until_true 120 more_said "$kills" 'signal 9'
    systemctl set-property --runtime spanbufd MemoryMax=infinity
    until_true 60 board_says default 'd["health"]' healthy
    [ "$(pid_of spanbufd)" = "$before" ]
    [ "$(show spanbufd NRestarts)" = 0 ]
    journalctl -k --no-pager -o cat | grep -q 'Memory cgroup out of memory: Killed process'
    through default "$(head -n 1 mock.out)" in out 4
}
said_count() { journalctl --no-pager -u spanbufd -o cat | grep -c "$1" || true; }
more_said() { [ "$(said_count "$2")" -gt "$1" ]; }

instance_by_socket() {
    sed -e 's/= in$/= bin/' -e 's/= out$/= bout/' /etc/spanbufd/spanbufd.conf >/etc/spanbufd/b.conf
    printf 'redis-url = unix:///run/redis/redis-server.sock\nnamespace = b\ngroup-id = b\n' \
        >>/etc/spanbufd/b.conf
    chgrp spanbufd /etc/spanbufd/b.conf
    chmod 640 /etc/spanbufd/b.conf
    mkdir -p /etc/systemd/system/spanbufd@.service.d
    cp /usr/share/doc/spanbufd/examples/redis-socket.conf /etc/systemd/system/spanbufd@.service.d/
    reload_units
    systemctl enable --now spanbufd@b
    through b "$(head -n 1 mock.out)" bin bout 5
}

tls_to_kafka() {
    . ./tls.env
    cp ca.pem /etc/spanbufd/ca.pem
    {
        printf 'bootstrap-servers = %s\ninput-topic = tin\noutput-topic = tout\n' "$TLS"
        printf 'kafka = security.protocol=SSL\nkafka = ssl.ca.location=/etc/spanbufd/ca.pem\n'
        printf 'namespace = tls\ngroup-id = tls\nroot-timeout = 2\ntimeout = 4\n'
    } >/etc/spanbufd/tls.conf
    systemctl start spanbufd@tls
    ./testkit create-topic "$PLAIN" tin 2
    ./testkit create-topic "$PLAIN" tout 1
    through tls "$PLAIN" tin tout 6
    # It is TLS indeed: connections to the TLS listener, and none to the other.
    port=$(printf %04X "${TLS##*:}")
    other=$(printf %04X "${PLAIN##*:}")
    user=$(id -u spanbufd)
    awk -v u="$user" '$8 == u { print $3 }' /proc/net/tcp >connections
    grep -q ":$port\$" connections
    never grep -q ":$other\$" connections
    systemctl stop spanbufd@tls
}

upgraded() {
    one=$(pid_of spanbufd) b=$(pid_of spanbufd@b)
    dpkg -i two.deb
    until_true 30 state spanbufd active
    until_true 30 state spanbufd@b active
    [ "$(pid_of spanbufd)" != "$one" ]
    [ "$(pid_of spanbufd@b)" != "$b" ]
    [ "$(readlink "/proc/$(pid_of spanbufd@b)/exe")" = /usr/sbin/spanbufd ]
    grep -q '^root-timeout' /etc/spanbufd/spanbufd.conf
    [ "$(stat -c %U:%G:%a /etc/spanbufd/spanbufd.conf)" = root:spanbufd:640 ]
    through default "$(head -n 1 mock.out)" in out 7
    through b "$(head -n 1 mock.out)" bin bout 8
}

stopped() {
    systemctl stop spanbufd
    [ "$(show spanbufd Result)" = success ]
    [ ! -e /dev/shm/spanbufd.default ]
    never pgrep -u spanbufd -f -- '--config /etc/spanbufd/spanbufd.conf'
    systemctl start spanbufd
}

wrong_configuration() {
    cp -p /etc/spanbufd/spanbufd.conf good.conf
    echo 'no-such-option = 1' >>/etc/spanbufd/spanbufd.conf
    systemctl stop spanbufd
    if systemctl start spanbufd; then fail "started"; fi
    sleep 7
    state spanbufd failed
    [ "$(show spanbufd NRestarts)" = 0 ]
    [ "$(show spanbufd ExecMainStatus)" = 78 ]
    cp -p good.conf /etc/spanbufd/spanbufd.conf
    systemctl reset-failed spanbufd
    systemctl start spanbufd
}

removed() {
    dpkg -r spanbufd
    never pgrep -u spanbufd
    test -e /etc/spanbufd/b.conf
    [ -z "$(ls /dev/shm)" ] || fail "left: $(ls /dev/shm)"
}

purged() {
    dpkg -P spanbufd
    rm -rf /etc/systemd/system/spanbufd@.service.d
    files | diff files.before - || fail "files are left, or missing"
    reload_units
    systemctl list-units --all --no-legend 'spanbufd*' >units
    never grep . units
}

reinstalled() {
    dpkg -i two.deb
    configure
    systemctl start spanbufd
    through default "$(head -n 1 mock.out)" in out 9
    dpkg -P spanbufd
}

step "installed: user, files, not enabled, not started" installed
step "units are sound in place" units_are_sound
step "redis with a password, and the mock cluster" servers
step "enabled and started: status line, sandbox score, OOM scores" started
step "spans go through" spans_go_through
step "the journal has priorities and process names" journal_is_right
step "no secret in ps, environment, board, log; no core" no_secret_anywhere
step "a good file is reloaded, the daemon goes on" reload_is_taken
step "a refused file fails the reload and changes nothing" reload_is_refused
step "a killed worker is replaced, systemd sees nothing of it" worker_is_replaced
step "a hung supervisor is ended by the watchdog and started again" hung_supervisor
step "monitored: by another user, and by the timer for node_exporter" monitored
if cgroups_are_enforced; then
    step "memory exhausted: a worker goes, the unit stays" memory_exhausted
else
    echo "skip memory exhausted: no cgroup limits here (see the virtual machine)"
fi
step "a second instance, Redis by its socket" instance_by_socket
if [ -e tls.env ]; then
    step "TLS to Apache Kafka from inside the sandbox" tls_to_kafka
else
    echo "skip TLS to Kafka: no broker here (see the container)"
fi
step "upgraded: both instances run the new program" upgraded
step "stopped in order, nothing left" stopped
step "a wrong file: failed with 78, not restarted" wrong_configuration
step "removed: all instances are gone, configuration stays" removed
step "purged: the system is as it was" purged
step "installed again" reinstalled
echo "$failed failed"
