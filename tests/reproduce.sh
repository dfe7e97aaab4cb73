#!/bin/sh
# Two builds of one commit give the same package: `sh tests/reproduce.sh`.
#
# The builds differ in folder, umask, time zone, locale and time. Twice the release build, so some
# minutes; not part of tests/run.sh. What is compared is what git has committed.
set -eu
cd "$(dirname "$0")/.."
WORK=$(mktemp -d /var/tmp/spanbufd-reproduce.XXXXXX)
trap 'rm -rf "$WORK"' EXIT
unset CARGO_TARGET_DIR

# build FOLDER UMASK TZ LOCALE
build() {
    git clone -q . "$WORK/$1"
    (umask "$2" && cd "$WORK/$1" && TZ=$3 LC_ALL=$4 LANG=$4 sh packaging/build-deb.sh) \
        >"$WORK/${1##*/}.log" 2>&1 || { tail -n 20 "$WORK/${1##*/}.log"; exit 1; }
}

mkdir -p "$WORK/a-longer-name/below"
build one 022 UTC C
build a-longer-name/below/two 077 Pacific/Kiritimati C.UTF-8
bad=0
for one in "$WORK"/one/target/debian/*.deb; do
    two=$WORK/a-longer-name/below/two/target/debian/${one##*/}
    if cmp "$one" "$two"; then
        echo "ok   ${one##*/}: $(sha256sum <"$one" | cut -d ' ' -f 1)"
    else
        echo "FAIL ${one##*/} differs"
        bad=1
    fi
done
exit "$bad"
