#!/bin/sh
# Every crate that is linked in stands in debian/copyright with its licence; deny.toml allows it.
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT" || fail "no $ROOT"

cargo metadata --format-version 1 --locked --offline \
    --filter-platform x86_64-unknown-linux-gnu >"$TMP/metadata" 2>"$TMP/err" ||
    fail "cargo metadata: $(cat "$TMP/err")"
python3 tests/lib/licences.py "$TMP/metadata" packaging/debian/copyright packaging/deny.toml ||
    fail "licences"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline check --config packaging/deny.toml licenses bans sources \
        >"$TMP/deny" 2>&1 ||
        fail "$(cat "$TMP/deny")"
fi
