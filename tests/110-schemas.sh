#!/bin/sh
# Messages in and out are valid against the schemas that their topics publish.
. "$(dirname "$0")/lib/common.sh"

venv=${XDG_CACHE_HOME:-$HOME/.cache}/spanbufd/schemas-3.0.2
# Asked each time: a cached environment breaks when the python that it was made with goes.
has_schemas() { "$venv/bin/python" -c 'import sentry_kafka_schemas' 2>/dev/null; }
if ! has_schemas; then
    rm -rf "$venv"
    python3 -m venv "$venv" || skip "no venv: apt install python3-venv"
    "$venv/bin/pip" install -q sentry-kafka-schemas==3.0.2 || skip "PyPI is out of reach"
fi
schemas() { "$venv/bin/python" "$ROOT/tests/schemas.py" "$@"; }

generate --traces 300 --seed 31 >"$TMP/in"
schemas ingest-spans --examples >"$TMP/examples"
[ "$(wc -l <"$TMP/examples")" -ge 3 ] || fail "the package has no examples"
cat "$TMP/examples" >>"$TMP/in"
schemas ingest-spans <"$TMP/in"
"$SPANBUFD" assemble <"$TMP/in" >"$TMP/out"
schemas buffered-segments <"$TMP/out"
# S10: every example alone is one segment, with every key that it had.
while read -r example; do
    echo "$example" >"$TMP/one"
    "$SPANBUFD" assemble <"$TMP/one" >"$TMP/segment"
    python3 - "$TMP/one" "$TMP/segment" <<'EOF'
import json, sys
span = json.load(open(sys.argv[1]))
(found,) = json.load(open(sys.argv[2]))["spans"]
for key in set(span) - {"attributes", "is_segment"}:
    assert found[key] == span[key], key
assert found["is_segment"] in (True, False) and found["attributes"]["sentry.segment.id"]
EOF
done <"$TMP/examples"
