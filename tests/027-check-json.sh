#!/bin/sh
# check --json is valid JSON with every value, whatever characters it holds.
. "$(dirname "$0")/lib/common.sh"

conf=$TMP/spanbufd.conf
cat >"$conf" <<'END'
group-id = a "quoted" \ name é
kafka = linger.ms=5
kafka = debug=all
END
"$SPANBUFD" check --json --config "$conf" --timeout 0.5 >"$TMP/out"

python3 - "$TMP/out" "$conf" <<'END' || fail "$(cat "$TMP/out")"
import json, sys

rows = json.load(open(sys.argv[1], encoding="utf-8"))
conf = sys.argv[2]
found = {}
for row in rows:
    found.setdefault(row["name"], []).append((row["value"], row["origin"]))
assert found["group-id"] == [('a "quoted" \\ name é', conf + ":1")], found["group-id"]
assert found["kafka"] == [("linger.ms=5", conf + ":2"), ("debug=all", conf + ":3")], found["kafka"]
assert found["timeout"] == [("0.5", "flag --timeout")], found["timeout"]
assert found["dead-letter-topic"] == [(None, "default")], found["dead-letter-topic"]
END
