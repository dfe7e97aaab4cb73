#!/bin/sh
# The package as a thing: `sh tests/package.sh [PACKAGE.deb]`: lintian, hardening, what is in it.
#
# Not part of tests/run.sh, since it builds the release when no package is given.
set -eu
cd "$(dirname "$0")/.."
WORK=$(mktemp -d "${TMPDIR:-/tmp}/spanbufd-package.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
fail() { echo "FAIL $*"; exit 1; }

needs=
for pair in lintian:lintian hardening-check:devscripts; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || needs="$needs ${pair#*:}"
done
if [ -n "$needs" ]; then
    echo "installing:$needs"
    apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $needs
fi

package=${1:-}
if [ -z "$package" ]; then
    sh packaging/build-deb.sh
    package=$(find target/debian -maxdepth 1 -name 'spanbufd_*.deb')
fi

lintian --allow-root --fail-on error,warning "$package" || fail lintian
echo "ok   lintian: no error, no warning"

dpkg-deb -x "$package" "$WORK/root"
binary=$WORK/root/usr/sbin/spanbufd
for feature in 'Position Independent Executable' 'Read-only relocations' 'Immediate binding' \
    'Stack protected' 'Fortify Source functions'; do
    hardening-check "$binary" 2>&1 | grep -q "^ $feature: yes" || fail "hardening: $feature"
done
SPANBUFD=$binary sh tests/512-hardening.sh || fail "tests/512-hardening.sh"
echo "ok   hardening: PIE, RELRO, BIND_NOW, stack protector, fortify; its own timed waits"

if strings -a "$binary" | grep -F -e "$HOME/.cargo" -e "$PWD" >"$WORK/paths"; then
    fail "paths of this machine: $(head -n 3 "$WORK/paths")"
fi
echo "ok   no path of this machine in it"

version=$(dpkg-deb -f "$package" Version)
[ "$version" = "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" ] ||
    fail "version $version is not Cargo.toml's"
"$binary" --version | grep -q "spanbufd $version " || fail "version of the program"
"$binary" check --config "$WORK/root/etc/spanbufd/spanbufd.conf" >/dev/null || fail "example file"
for page in man8/spanbufd.8 man5/spanbufd.conf.5 man7/spanbufd-design.7; do
    lexgrog "$WORK/root/usr/share/man/$page.gz" >/dev/null || fail "apropos cannot read $page"
done
echo "ok   version $version, configuration and pages"
