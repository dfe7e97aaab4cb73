#!/bin/sh
# Two builds of one commit give the same package: `sh tests/reproduce.sh [PACKAGE.deb]`.
#
# The builds differ in folder, umask, time zone, locale and time. Each begins with nothing but the
# crates' sources in CARGO_HOME, whose checksums Cargo.lock holds; the second is offline. A release
# build takes four minutes of one core. PACKAGE.deb, if it was built from the commit that is
# checked out, is the first of the two: that is how somebody else's package is proven. Not part of
# tests/run.sh. What is built is what git has committed.
set -eu
package=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
WORK=$(mktemp -d /var/tmp/spanbufd-reproduce.XXXXXX)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
unset CARGO_TARGET_DIR

# build FOLDER UMASK TZ LOCALE
build() {
    echo "building in $1, umask $2, TZ $3, locale $4"
    git clone -q . "$WORK/$1"
    (umask "$2" && cd "$WORK/$1" && TZ=$3 LC_ALL=$4 LANG=$4 sh packaging/build-deb.sh) \
        >"$WORK/${1##*/}.log" 2>&1 || { tail -n 20 "$WORK/${1##*/}.log"; exit 1; }
}

# What differs in a package, file by file.
tell() {
    mkdir "$WORK/x" "$WORK/y"
    dpkg-deb -R "$1" "$WORK/x"
    dpkg-deb -R "$2" "$WORK/y"
    diff -rq "$WORK/x" "$WORK/y" || true
    rm -r "$WORK/x" "$WORK/y"
}

if [ -z "$package" ]; then
    build one 022 UTC C
    package=$(find "$WORK/one/target/debian" -maxdepth 1 -name 'spanbufd_*.deb')
fi
mkdir -p "$WORK/a-longer-name/below"
CARGO_NET_OFFLINE=true build a-longer-name/below/two 077 Pacific/Kiritimati C.UTF-8
bad=0
# With its -dbgsym, if that lies beside it.
for one in "${package%/*}"/spanbufd*_"${package##*/spanbufd_}"; do
    two=$WORK/a-longer-name/below/two/target/debian/${one##*/}
    if cmp "$one" "$two"; then
        echo "ok   ${one##*/}: $(sha256sum <"$one" | cut -d ' ' -f 1)"
    else
        echo "FAIL ${one##*/} differs"
        tell "$one" "$two"
        bad=1
    fi
done
exit "$bad"
