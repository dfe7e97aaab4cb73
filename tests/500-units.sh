#!/bin/sh
# The units: no key that systemd does not know, the sandbox's score, limits above the daemon's own.
. "$(dirname "$0")/lib/common.sh"

command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
units=$ROOT/packaging/systemd
plain=$units/spanbufd.service
template=$units/spanbufd@.service

# The program need not be installed: the copies name the one that was built.
for unit in "$plain" "$template"; do
    sed "s#/usr/sbin/spanbufd#$SPANBUFD#" "$unit" >"$TMP/${unit##*/}"
done
cp "$TMP/spanbufd@.service" "$TMP/spanbufd@x.service"
for unit in spanbufd.service spanbufd@x.service; do
    systemd-analyze verify --man=no "$TMP/$unit" >"$TMP/verdict" 2>&1 ||
        fail "$(cat "$TMP/verdict")"
    [ ! -s "$TMP/verdict" ] || fail "$unit: $(cat "$TMP/verdict")"
    # In tenths: at most 1.1.
    systemd-analyze security --no-pager --offline=true --threshold=11 "$TMP/$unit" \
        >"$TMP/verdict" 2>&1 || fail "$unit is exposed more than 1.1: $(tail -n 1 "$TMP/verdict")"
done

# The template differs in names only.
sed -e 's/^Description=Span buffer:/Description=Span buffer %i:/' \
    -e 's#/etc/spanbufd/spanbufd.conf#/etc/spanbufd/%i.conf --instance %i#' \
    -e 's#spanbufd\.redis-password#spanbufd-%i.redis-password#' "$plain" |
    diff -u - "$template" || fail "the template is not the unit with names in it"

value() { sed -n "s/^$1=\([0-9]*\).*/\1/p" "$plain"; }
default() { "$SPANBUFD" check | sed -n "s/^$1 *= \([0-9]*\).*/\1/p"; }
above() { [ "$(value "$1")" -gt "$(default "$2")" ] || fail "$1 is not above $2"; }
above TimeoutStartSec start-timeout
above TimeoutStopSec shutdown-timeout

# No restart mends what these two statuses say: they are the names of error.rs.
fatal=$(sed -n 's/^ *\(Usage\|Config\) = \([0-9]*\),/\2/p' "$ROOT/src/error.rs" | xargs)
grep -qx "RestartPreventExitStatus=$fatal" "$plain" || fail "statuses that are final: $fatal"

# Drop-ins are valid with the unit that they are for, and name the credential as it does.
for example in "$units"/examples/*.conf; do
    case $example in
        *-instance.conf) unit=spanbufd@.service tried=spanbufd@x.service name=spanbufd-%i ;;
        *) unit=spanbufd.service tried=$unit name=spanbufd ;;
    esac
    mkdir -p "$TMP/$unit.d"
    cp "$example" "$TMP/$unit.d/"
    systemd-analyze verify --man=no "$TMP/$tried" >"$TMP/verdict" 2>&1 || true
    [ ! -s "$TMP/verdict" ] || fail "${example##*/}: $(cat "$TMP/verdict")"
    other=$(grep Credential "$example" | grep -v ":$name\.redis-password\$") || true
    [ -z "$other" ] || fail "${example##*/}: the unit has another name than $other"
done
for example in "$units"/examples/*.service "$units"/examples/*.timer; do
    sed "s#/usr/sbin/spanbufd#$SPANBUFD#" "$example" >"$TMP/${example##*/}"
done
systemd-analyze verify --man=no "$TMP/spanbufd-metrics.timer" >"$TMP/verdict" 2>&1 || true
[ ! -s "$TMP/verdict" ] || fail "spanbufd-metrics: $(cat "$TMP/verdict")"
