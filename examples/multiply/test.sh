#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out.
set -euo pipefail
component=target/guests/multiply.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

# gives RESULT FUNCTION MESSAGE
gives() {
    succeeds --function "$2" --msg "$3"
    [[ $stdout == "$1" ]] || die "$2 $3: '$stdout' instead of '$1'"
}

gives 42 multiply '{"arg1": 6, "arg2": 7}'
gives -42 multiply '{"arg1": -6, "arg2": 7}'
gives 3 divide '{"arg1": 7, "arg2": 2}'
fails_with 'division by zero' --function divide --msg '{"arg1": 1, "arg2": 0}'
fails_with 'does not fit in 64 bits' --function multiply --msg '{"arg1": 9223372036854775807, "arg2": 2}'
# Refused by the schema or by the handler; either names the field.
fails_with arg2 --function multiply --msg '{"arg1": 1}'
fails_with arg2 --function multiply --msg '{"arg1": 1, "arg2": "two"}'

echo "multiply: ok"
