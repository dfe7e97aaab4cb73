#!/bin/sh
# The benchmark itself works: every kind of run once, with a few hundred spans, on debug builds.
. "$(dirname "$0")/lib/common.sh"

TEST_KAFKA=mock sh "$ROOT/tests/bench/run.sh" smoke --json "$TMP/bench.json" >"$TMP/table" 2>&1 ||
    { cat "$TMP/table"; fail "the benchmark failed"; }
for word in "whole path" alone memory "small by batch" yardstick "half load" "quarter load" \
    "long open" idle; do
    grep -q "^$word" "$TMP/table" || fail "the table does not tell of $word"
done
python3 - "$TMP/bench.json" <<'END' || fail "figures are missing"
import json, sys
figures = json.load(open(sys.argv[1]))["figures"]
for name in ("small", "live"):
    for kind in ("path", "ingest", "flush", "limits"):
        assert figures[f"{kind} {name}"]["runs"] == 1, (kind, name)
    assert figures[f"path {name}"]["sum_us"]["min"] > 0, name
# Lateness is told of what was acknowledged while the traffic lasted, and that was something.
for load in ("half load", "quarter load"):
    assert 1 < figures[load]["p50_ms"]["min"] <= figures[load]["p99_ms"]["min"], figures[load]
assert figures["long open"]["redis_bytes_per_span"]["min"] > 0, figures["long open"]
END

BENCH_BUILT=1 TEST_KAFKA=mock sh "$ROOT/tests/bench/restart.sh" 2 >"$TMP/restart" 2>&1 ||
    { cat "$TMP/restart"; fail "restarts are not measured"; }
grep -q 'flushing median [0-9.]* min [0-9.]* max [0-9.]* of 2$' "$TMP/restart" ||
    fail "no figure: $(cat "$TMP/restart")"

BENCHKIT=$(dirname "$TESTKIT")/benchkit
"$BENCHKIT" curves 5000 >"$TMP/curves" || fail "no curves"
for title in "spans buffered" "spans a trace" shards "busy for minutes"; do
    grep -q "^ *$title" "$TMP/curves" || fail "the curves do not tell of $title"
done
generate --timed --traces 30 >"$TMP/few.spans"
"$BENCHKIT" stages "$TMP/few.spans" >"$TMP/stages" || fail "no stages"
python3 - "$TMP/stages" <<'END' || fail "a stage is missing"
import json, sys
stages = json.load(open(sys.argv[1]))
assert stages["count"] > 30 and stages["stored_bytes"] > 0 and "parse_by_serde_json_us" in stages
END
"$BENCHKIT" sweep "$TMP/few.spans" >"$TMP/sweep" || fail "no sweep"
for title in batch compression "block KiB"; do
    grep -q "^ *$title" "$TMP/sweep" || fail "the sweep does not tell of $title"
done
