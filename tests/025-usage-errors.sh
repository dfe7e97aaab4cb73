#!/bin/sh
# A wrong command line ends with status 64, one line why, and one line where to look.
. "$(dirname "$0")/lib/common.sh"

# wrong WORDS HINT [ARGUMENT]...
wrong() {
    words=$1 hint=$2
    shift 2
    status=0
    "$SPANBUFD" "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
    [ "$status" -eq 64 ] || fail "'$*': status $status, not 64"
    [ ! -s "$TMP/out" ] || fail "'$*' printed: $(cat "$TMP/out")"
    [ "$(wc -l <"$TMP/err")" -eq 2 ] || fail "'$*': not two lines: $(cat "$TMP/err")"
    grep -Fq -- "$words" "$TMP/err" || fail "'$*': no '$words' in: $(cat "$TMP/err")"
    tail -n 1 "$TMP/err" | grep -Fqx -- "$hint" || fail "'$*': hint: $(cat "$TMP/err")"
}

wrong 'no command is given' "Try 'spanbufd --help'."
wrong 'unknown command chekc; did you mean check?' "Try 'spanbufd --help'." chekc
wrong 'unknown command chekc; did you mean check?' "Try 'spanbufd --help'." help chekc
wrong 'unknown option --json' "Try 'spanbufd --help'." --json
hint="Try 'spanbufd check --help'."
wrong 'unknown option --root-timout; did you mean --root-timeout?' "$hint" check --root-timout 5
wrong 'unknown option -x' "$hint" check -x
wrong "Argument to option 'timeout' missing" "$hint" check --timeout
wrong 'unexpected argument "extra"' "$hint" check extra
wrong 'unexpected argument "--json"' "$hint" check -- --json
wrong "Option 'json' does not take an argument" "$hint" check --json=yes
wrong "Option 'config' given more than once" "$hint" check --config a --config b
for rate in nan -1 inf 1e-30 1e30; do
    wrong "--rate: " "Try 'spanbufd generate --help'." generate --rate="$rate"
done

# Asking for help and the version is no error.
for option in --help -h --version -V; do
    "$SPANBUFD" "$option" >"$TMP/out" 2>"$TMP/err"
    [ -s "$TMP/out" ] || fail "$option printed nothing"
    [ ! -s "$TMP/err" ] || fail "$option: $(cat "$TMP/err")"
done
"$SPANBUFD" check --timeout nonsense --help >"$TMP/out" || fail 'help asks for a valid line'
