#!/bin/sh
# Builds the Debian package from this checkout: `sh packaging/build-deb.sh [FOLDER]`.
#
# Installs by apt what is missing, copies the files that git knows to a scratch tree, builds there
# with debhelper, and leaves the package, its -dbgsym and .buildinfo in FOLDER (default:
# target/debian), in place of those of an earlier build. Takes the release build's time, some
# minutes; a second run is shorter, since CARGO_TARGET_DIR (default: FOLDER/cargo) is kept. Root or
# sudo only for apt.
set -eu

cd "$(dirname "$0")/.."
mkdir -p "${1:-target/debian}"
folder=$(cd "${1:-target/debian}" && pwd)

missing() {
    for pair in dh:debhelper cc:build-essential make:make pkg-config:pkg-config \
        dpkg-buildpackage:dpkg-dev; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || printf ' %s' "${pair#*:}"
    done
    [ -e /usr/include/openssl/ssl.h ] || printf ' libssl-dev'
    [ -e /usr/include/zlib.h ] || printf ' zlib1g-dev'
    [ -e /usr/bin/dh_bash-completion ] || printf ' bash-completion'
}

command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust first" >&2; exit 1; }
needs=$(missing)
if [ -n "$needs" ]; then
    echo "installing by apt:$needs"
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $needs
fi

# The scratch tree has the same name each time: it is remapped in the binary, but known to cargo.
scratch=$folder/scratch
rm -rf "$scratch"
mkdir -p "$scratch/spanbufd"
git ls-files -z | tar -c --null -T - | tar -x -C "$scratch/spanbufd"
cp -r "$scratch/spanbufd/packaging/debian" "$scratch/spanbufd/debian"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$folder/cargo}"
(cd "$scratch/spanbufd" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps)
rm -f "$folder"/spanbufd*_*
mv "$scratch"/spanbufd*_* "$folder/"
rm -rf "$scratch"
ls -l "$folder"/spanbufd_*.deb
