#!/bin/sh
# From a fresh Debian with a Rust toolchain to the running demo, in one command.
#
# Installs by apt only what is missing, and says what; builds the release with its progress
# visible; then becomes `spanbufd demo` with the arguments given. Root or sudo. Where systemd runs,
# Debian's redis-server package starts a server of its own, which the demo does not touch.
set -eu

cd "$(dirname "$0")/.."

missing() {
    for pair in cc:build-essential make:make pkg-config:pkg-config redis-server:redis-server; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || printf ' %s' "${pair#*:}"
    done
    [ -e /usr/include/openssl/ssl.h ] || printf ' libssl-dev'
    [ -e /usr/include/zlib.h ] || printf ' zlib1g-dev'
}

command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust first" >&2; exit 1; }
needs=$(missing)
if [ -n "$needs" ]; then
    echo "== installing by apt:$needs"
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $needs
fi
echo "== building the release; the first time takes some minutes"
cargo build --release
echo "== spanbufd demo"
exec target/release/spanbufd demo "$@"
