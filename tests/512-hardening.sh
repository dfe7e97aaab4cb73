#!/bin/sh
# The binary is position independent, its relocations read-only before main, its stack not code,
# and the Kafka client's timed waits are the program's own.
# That is the debug binary, or what SPANBUFD names: tests/package.sh has the packaged one looked at,
# and looks for what comes from the flags of the package; CI does not run it.
. "$(dirname "$0")/lib/common.sh"

command -v readelf >/dev/null || skip "readelf is not installed"
elf() { readelf --wide "$@" "$SPANBUFD" 2>/dev/null; }
elf --file-header | grep -q 'Type: *DYN' || fail "not position independent"
elf --program-headers | grep -q GNU_RELRO || fail "no RELRO"
elf --dynamic | grep -qE 'BIND_NOW|FLAGS.*NOW' || fail "symbols are bound late"
elf --program-headers | grep GNU_STACK | grep -q 'RWE' && fail "the stack may be executed"
elf --dynamic | grep -qE 'RPATH|RUNPATH' && fail "libraries are looked for in odd places"
# src/sys/cond.rs says why. No library is asked for such a wait, by neither of the names by which
# the client may know it; and ours is there, since it asks for what it is made of.
elf --dyn-syms | awk '$7 == "UND" { sub("@.*", "", $8); print $8 }' >"$TMP/imported"
if grep -xE '(cnd|pthread_cond)_timedwait' "$TMP/imported"; then
    fail "the Kafka client waits by the wall clock: the C library's waits are not taken over"
fi
grep -qx pthread_cond_clockwait "$TMP/imported" || fail "nobody waits on the monotonic clock"
