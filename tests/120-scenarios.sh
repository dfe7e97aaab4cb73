#!/bin/sh
# The rules of assembly, scenario by scenario, in every order and batching.
. "$(dirname "$0")/lib/common.sh"

python3 "$ROOT/tests/scenarios.py" "$SPANBUFD"
