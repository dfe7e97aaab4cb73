#!/bin/sh
# The binary is position independent, its relocations read-only before main, its stack not code.
# That is the debug binary, or what SPANBUFD names. Stack protector and fortified calls come from
# the flags of the package: tests/package.sh looks for them, and CI does not run it.
. "$(dirname "$0")/lib/common.sh"

command -v readelf >/dev/null || skip "readelf is not installed"
elf() { readelf --wide "$@" "$SPANBUFD" 2>/dev/null; }
elf --file-header | grep -q 'Type: *DYN' || fail "not position independent"
elf --program-headers | grep -q GNU_RELRO || fail "no RELRO"
elf --dynamic | grep -qE 'BIND_NOW|FLAGS.*NOW' || fail "symbols are bound late"
elf --program-headers | grep GNU_STACK | grep -q 'RWE' && fail "the stack may be executed"
elf --dynamic | grep -qE 'RPATH|RUNPATH' && fail "libraries are looked for in odd places"
exit 0
