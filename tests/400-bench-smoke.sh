#!/bin/sh
# The benchmark itself works: every kind of run once, with a few hundred spans, on debug builds.
. "$(dirname "$0")/lib/common.sh"

TEST_KAFKA=mock sh "$ROOT/tests/bench/run.sh" smoke --json "$TMP/bench.json" >"$TMP/table" 2>&1 ||
    { cat "$TMP/table"; fail "the benchmark failed"; }
for word in "whole path" alone memory "small by batch" yardstick "half load" idle; do
    grep -q "^$word" "$TMP/table" || fail "the table does not tell of $word"
done
python3 - "$TMP/bench.json" <<'END' || fail "figures are missing"
import json, sys
figures = json.load(open(sys.argv[1]))["figures"]
for name in ("small", "live"):
    for kind in ("path", "ingest", "flush", "limits"):
        assert figures[f"{kind} {name}"]["runs"] == 1, (kind, name)
    assert figures[f"path {name}"]["sum_us"]["min"] > 0, name
END
