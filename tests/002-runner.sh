#!/bin/sh
# The runner: what may be chance gets a second try, what is lost gets none; a broker that cannot be
# had is looked for once; a filter that fits no test is a failure. Each test is alone with its
# processes and its boards. A lane without tests of its own helps the others.
# kafka: none
. "$(dirname "$0")/lib/common.sh"

mkdir -p "$TMP/tree/tests/lib" "$TMP/bin"
cp "$ROOT/tests/run.sh" "$TMP/tree/tests/"
cp "$ROOT"/tests/lib/*.sh "$TMP/tree/tests/lib/"
printf '#!/bin/sh\n' >"$TMP/bin/cargo"
printf '#!/bin/sh\necho called >>%s\nexit 1\n' "$TMP/mvn" >"$TMP/bin/mvn"
chmod +x "$TMP/bin/cargo" "$TMP/bin/mvn"
# one NAME KAFKA: a test of its own of the scratch tree, from standard input.
one() { { printf '#!/bin/sh\n# kafka: %s\n' "$2"; cat; } >"$TMP/tree/tests/$1.sh"; }
run() {
    PATH=$TMP/bin:$PATH XDG_CACHE_HOME=$TMP/cache CI='' SPANBUFD_TEST_KAFKA='' TMPDIR=$TMP \
        sh "$TMP/tree/tests/run.sh" "$@"
}
ends() { [ "$(tail -n 1 "$TMP/answer")" = "$1" ] || { cat "$TMP/answer"; fail "not: $1"; }; }
late='FAIL: not within 1 s: it'
counts='in 9 spans, 0 others; out 1 messages, 8 spans; lost'

one 100-late none <<END
[ -e $TMP/late ] || { touch $TMP/late; echo '$late'; exit 1; }
END
expect_status 0 run 100
ends "1 passed, 0 failed, 0 skipped"
one 101-lost none <<END
[ -e $TMP/lost ] || { touch $TMP/lost; echo "$counts 1, doubled 0"; echo '$late'; exit 1; }
END
expect_status 1 run 101
ends "0 passed, 1 failed, 0 skipped"
one 102-uncounted none <<END
[ -e $TMP/none ] || { touch $TMP/none; echo "$counts 0, doubled 0"; echo '$late'; exit 1; }
END
expect_status 0 run 102
one 104-books none <<END
[ -e $TMP/books ] || { touch $TMP/books; echo 'FAIL: the books are wrong'; exit 1; }
END
expect_status 1 run 104
one 105-traceback none <<END
[ -e $TMP/trace ] || { touch $TMP/trace; echo 'AssertionError'; exit 1; }
END
expect_status 1 run 105
{ yes '#' | head -n 9; echo '# timeout: 1'; echo 'sleep 60'; } | one 106-long-head none
expect_status 1 run 106
grep -q 'FAIL tests/106-long-head.sh.*status 124' "$TMP/answer" || fail "a timeout is not seen"
one 103-alone none <<END
[ \$\$ -eq 1 ] || exit 1
touch /dev/shm/spanbufd.${TMP##*.}
END
expect_status 0 run 103
[ ! -e "/dev/shm/spanbufd.${TMP##*.}" ] || fail "a test leaves its board behind"
echo true | one 200-apache apache
echo true | one 201-apache apache
echo true | one 202-own own
expect_status 0 run 20
ends "0 passed, 0 failed, 3 skipped"
[ "$(wc -l <"$TMP/mvn")" -eq 1 ] || fail "Maven was asked more than once"
# Three that pass only while all three run.
for number in 300 301 302; do
    one $number-meet none <<END
touch $TMP/met.$number
for round in \$(seq 100); do [ \$(ls $TMP/met.* | wc -l) -lt 3 ] || exit 0; sleep 0.1; done
exit 1
END
done
expect_status 0 run meet
expect_status 1 run nothing-like-it
ends "0 passed, 1 failed, 0 skipped"
