#!/bin/sh
# What the output topic refuses for its size is split; a single span that is too large is a dead
# letter. A letter that is too large even for that goes there without its payload, if need be
# without its headers and its key, and others go whole. A message that is larger than what a fetch
# may bring is read all the same.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
OUT=small-$ID DEAD=medium-$ID
"$TESTKIT" create-topic "$BOOTSTRAP" "$OUT" 1 max.message.bytes=20000
"$TESTKIT" create-topic "$BOOTSTRAP" "$DEAD" 1 max.message.bytes=60000
# A segment of about 100 kB, and in other traces a span of 40 kB, one of 80 kB and one of 4 MB.
generate --traces 1 --spans-per-trace 90 --seed 3 >"$TMP/in"
noise() { head -c "$1" /dev/urandom | base64 -w 0; }
for size in 30000 60000 3000000; do
    printf '{"project_id":1,"trace_id":"t%s","span_id":"s%s","x":"' $size $size
    noise $size
    echo '"}'
done >"$TMP/large"
cat "$TMP/in" "$TMP/large" | produce "$IN" >/dev/null
# Without compression: the sizes are what counts here.
COMPRESSION=none
start_spanbufd --timeout 2 --root-timeout 1 --validate ids --dead-letter-topic "$DEAD" \
    --kafka-consumer fetch.message.max.bytes=1000
wait_until 60 board_says 'total("dead_letters"), total("open_spans")' '(3, 0)'
wait_until 30 all_out "$TMP/in"
python3 - <<'EOF' | produce "$IN" >/dev/null
import json
def reject(raw, key, header):
    print(json.dumps({"raw": raw, "key": key, "headers": {"h": header}}))
reject("large header", "k", "h" * 70000)
reject("large key", "k" * 70000, "h")
reject("sound", "k", "h")
EOF
wait_until 60 board_says 'total("dead_letters"), total("buffered")' '(6, 0)'
stop_spanbufd
check "$TMP/in"
[ "$(wc -l <"$TMP/out")" -ge 5 ] || fail "the segment was not split"
consumed "$DEAD" "$TMP/dead"
python3 - "$TMP/dead" "$TMP/large" <<'EOF'
import json, sys
letters = [json.loads(line) for line in open(sys.argv[1])]
letters = {int(letter["headers"]["spanbufd-offset"]): letter for letter in letters}
large = [line.rstrip("\n") for line in open(sys.argv[2])]
parts = [(one["key"], one["value"], one["headers"].get("h")) for _, one in sorted(letters.items())]
spans = [("t30000", large[0], None), ("t60000", None, None), ("t3000000", None, None)]
rejects = [("k", None, None), (None, None, None), ("k", "sound", "h")]
assert sorted(letters) == list(range(90, 96)) and parts == spans + rejects, str(parts)[:9999]
assert all("too large" in letters[at]["headers"]["spanbufd-reason"] for at in (90, 91, 92))
EOF

# They parse, and would come back with each run. What the input topic takes no more is passed over.
redrive() {
    "$SPANBUFD" redrive --bootstrap-servers "$BOOTSTRAP" --input-topic "$1" --group-id "$ID" \
        --kafka-producer compression.type=none --dead-letter-topic "$DEAD" --validate ids \
        >"$TMP/answer" 2>&1 "$2" "$3" || { cat "$TMP/answer"; fail "redrive $*"; }
    grep -q "letters: $4" "$TMP/answer" || { cat "$TMP/answer"; fail "redrive: not $4"; }
}
redrive "$IN" --dry-run --again '0 would .*, 4 have no payload, 1 are too large'
redrive "$IN" --dry-run --too-large '1 would .*, 4 have no payload, 0 are too large'
"$TESTKIT" create-topic "$BOOTSTRAP" "tiny-$ID" 1 max.message.bytes=20000
redrive "tiny-$ID" --again --too-large '0 put back .*, 4 have no payload, 1 are too large'
grep -q "letter 0/[012] is too large for tiny-$ID" "$TMP/answer" || fail "it is not said which"
