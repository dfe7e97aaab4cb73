#!/bin/sh
# A group's first start at a time begins with the first message stamped then or later; where it has
# begun is committed, so that a later start is not a first one.
# kafka: apache
. "$(dirname "$0")/lib/common.sh"

start_redis
start_kafka 1
hours_ago() { echo $((($(date +%s) - $1 * 3600) * 1000)); }
generate --traces 10 --seed 97 >"$TMP/old"
generate --traces 10 --seed 98 >"$TMP/in"
produce "$IN" --at-ms "$(hours_ago 3)" <"$TMP/old" >/dev/null
produce "$IN" --at-ms "$(hours_ago 1)" <"$TMP/in" >/dev/null
start_spanbufd --start-from "$(date -u -d '2 hours ago' +%Y-%m-%dT%H:%M:%SZ)" \
    --timeout 3 --root-timeout 2
end=$(cat "$TMP/old" "$TMP/in" | wc -l)
wait_until 30 all_out "$TMP/in"
board_says 'total("read")' "$(wc -l <"$TMP/in")" || fail "it read from elsewhere"
stop_spanbufd
redis_cli flushall >/dev/null
start_spanbufd --start-from earliest --timeout 3 --root-timeout 2
wait_until 30 board_says '[s[0][x] for x in ("position", "high_watermark")]' "[$end, $end]"
# What it has read by now is all that there is to read: none of the old spans.
board_says 'total("read") <= '"$(wc -l <"$TMP/in")" True || fail "it began before its start"
wait_until 30 board_says 'total("open_spans")' 0
stop_spanbufd
check "$TMP/in" --doubled 1000000
