#!/bin/sh
# The package on really booted systems: `sh tests/boot.sh [PACKAGE.deb]`.
#
# Boots Debian 12 with its own systemd twice, in a container (systemd-nspawn, with Apache Kafka
# behind TLS beside it) and in a virtual machine (qemu without KVM, where cgroups bound memory), and
# runs tests/boot/inside.sh there: install, run, reload, kill, hang, exhaust, upgrade, stop, purge.
# Prints one line a step. Not part of tests/run.sh: it takes some minutes, root, and 4 GB of disk;
# the first time also the download of a base system, kept in ~/.cache/spanbufd. Without PACKAGE.deb
# it builds one. SPANBUFD_BOOT=container or =machine does only half.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "run this as root" >&2; exit 1; }

BASE=${XDG_CACHE_HOME:-$HOME/.cache}/spanbufd/boot/base.tar
WORK=$(mktemp -d /var/tmp/spanbufd-boot.XXXXXX)
NET=spanbufd-boot-$$
KAFKA=
TESTKIT=$PWD/target/debug/examples/testkit
export TESTKIT

# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    trap - EXIT
    if [ -n "$KAFKA" ]; then
        kill -TERM "$KAFKA" 2>/dev/null || true
        wait "$KAFKA" 2>/dev/null || true
    fi
    ip netns delete "$NET" 2>/dev/null || true
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_needs() {
    needs=
    for pair in mmdebstrap:mmdebstrap systemd-nspawn:systemd-container mke2fs:e2fsprogs \
        ip:iproute2 \
        dpkg-deb:dpkg strip:binutils; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || needs="$needs ${pair#*:}"
    done
    # In one call: the packages of qemu replace each other.
    command -v qemu-system-x86_64 >/dev/null 2>&1 || needs="$needs qemu-system-x86 qemu-utils"
    [ -n "$needs" ] || return 0
    echo "installing:$needs"
    apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $needs
}

# A Debian with what the package depends on and recommends, and a kernel.
fetch_base() {
    [ ! -e "$BASE" ] || return 0
    mkdir -p "$(dirname "$BASE")"
    mmdebstrap --format=tar --variant=minbase \
        --include=systemd-sysv,dbus,udev,redis-server,libssl3,zlib1g \
        --include=procps,python3,kmod,linux-image-cloud-amd64,initramfs-tools,zstd \
        bookworm "$BASE.new"
    mv "$BASE.new" "$BASE"
}

# Two versions of one content: an upgrade runs all maintainer scripts.
packages() {
    cp "$1" "$WORK/one.deb"
    dpkg-deb -R "$WORK/one.deb" "$WORK/two"
    sed -i 's/^\(Version: .*\)/\1+two/' "$WORK/two/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$WORK/two" "$WORK/two.deb" >/dev/null
    rm -r "$WORK/two"
}

# root FOLDER OUTPUT: the base system with a service that runs the steps and powers off.
root() {
    mkdir "$1"
    tar -x -C "$1" --exclude='./dev/*' -f "$BASE" || return 1
    mkdir "$1/boot-test"
    cp "$WORK/one.deb" "$WORK/two.deb" "$1/boot-test/"
    cp tests/lib/check.py tests/boot/inside.sh "$1/boot-test/"
    strip -o "$1/boot-test/testkit" "$TESTKIT"
    echo boot >"$1/etc/hostname"
    echo '127.0.0.1 localhost boot' >"$1/etc/hosts"
    mkdir -p "$1/etc/credstore"
    rm -f "$1/usr/sbin/policy-rc.d"
    cat >"$1/etc/systemd/system/boot-test.service" <<EOF
[Unit]
After=multi-user.target dbus.service redis-server.service
[Service]
Type=oneshot
ExecStart=/bin/sh /boot-test/inside.sh
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=$2
StandardError=inherit
TimeoutStartSec=2400
[Install]
WantedBy=multi-user.target
EOF
    mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
    ln -s /etc/systemd/system/boot-test.service "$1/etc/systemd/system/multi-user.target.wants/"
    ln -sf /dev/null "$1/etc/systemd/system/systemd-networkd-wait-online.service"
}

# report FILE NAME: the steps of one system; false unless it says that none failed.
report() {
    sed "s/^/$2: /" "$1" | tr -d '\r'
    grep -q '^0 failed' "$1"
}

start_kafka() {
    ip netns add "$NET"
    ip -n "$NET" link set lo up
    mkdir "$WORK/kafka"
    ip netns exec "$NET" sh tests/boot/tls-kafka.sh "$WORK/kafka" >"$WORK/kafka.log" 2>&1 &
    KAFKA=$!
    rounds=0
    until [ -e "$WORK/kafka/tls.env" ]; do
        rounds=$((rounds + 1))
        if [ "$rounds" -gt 120 ] || ! kill -0 "$KAFKA" 2>/dev/null; then
            echo "Kafka with TLS does not start:" >&2
            cat "$WORK/kafka.log" >&2
            return 1
        fi
        sleep 1
    done
}

container() {
    root "$WORK/root" file:/boot-test/out || return 1
    if start_kafka; then
        cp "$WORK/kafka/tls.env" "$WORK/kafka/ca.pem" "$WORK/root/boot-test/"
    fi
    # What an earlier container left of these empty groups would keep this one from booting.
    find /sys/fs/cgroup -maxdepth 3 -type d \( -name payload -o -name supervisor \) \
        -exec rmdir {} + 2>/dev/null || true
    timeout --kill-after=10 900 systemd-nspawn -q -D "$WORK/root" --machine="$NET" --register=no \
        --keep-unit --network-namespace-path="/run/netns/$NET" --boot --console=pipe \
        </dev/null >"$WORK/console" 2>&1 || true
    touch "$WORK/root/boot-test/out"
    report "$WORK/root/boot-test/out" container || { tail -n 30 "$WORK/console"; return 1; }
}

machine() {
    root "$WORK/disk" tty || return 1
    sed -i 's#^StandardOutput=tty#&\nTTYPath=/dev/ttyS1#' \
        "$WORK/disk/etc/systemd/system/boot-test.service"
    echo '/dev/vda / ext4 defaults 0 1' >"$WORK/disk/etc/fstab"
    cp -L "$WORK/disk/vmlinuz" "$WORK/disk/initrd.img" "$WORK/"
    truncate -s 3G "$WORK/disk.img"
    mke2fs -q -t ext4 -d "$WORK/disk" "$WORK/disk.img"
    touch "$WORK/out"
    # Emulated: KVM inside a virtual machine does not boot everywhere, and hangs where it does not.
    timeout --kill-after=10 2400 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1536 -nic none \
        -display none -no-reboot -kernel "$WORK/vmlinuz" -initrd "$WORK/initrd.img" \
        -append 'root=/dev/vda rw console=ttyS0 quiet' \
        -drive "file=$WORK/disk.img,if=virtio,format=raw" \
        -serial "file:$WORK/console" -serial "file:$WORK/out" || true
    report "$WORK/out" machine || { tail -n 30 "$WORK/console"; return 1; }
}

install_needs
fetch_base
package=${1:-}
if [ -z "$package" ]; then
    sh packaging/build-deb.sh
    package=$(find target/debian -maxdepth 1 -name 'spanbufd_*.deb')
fi
[ -x "$TESTKIT" ] || cargo build --examples
packages "$package"
bad=0
case ${SPANBUFD_BOOT:-both} in both | container) container || bad=1 ;; esac
case ${SPANBUFD_BOOT:-both} in both | machine) machine || bad=1 ;; esac
exit "$bad"
