#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out.
set -euo pipefail
component=target/guests/iris_batch.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

here=$root/examples/iris-batch

"$here/rows" 3000 >"$scratch/rows.csv"
{
    echo '5.1,?,1.4,0.2'
    echo
    echo '5.1,3.5'
} >>"$scratch/rows.csv"
succeeds --function iris-batch --data "$scratch/rows.csv" --out "$scratch/predictions.csv"

# count PATTERN: lines of the result that match.
count() { grep -cE "$1" "$scratch/predictions.csv" || true; }

[[ $(count '') -eq 3003 ]] || die "$(count '') lines instead of 1 + 3002"
[[ $(count '^[0-9]+,setosa,[01]\.[0-9]{4},$') -eq 1000 ]] || die "$(count ,setosa,) setosas"
[[ $(count '^[0-9]+,versicolor,') -eq 980 ]] || die "$(count ,versicolor,) versicolors"
[[ $(count '^[0-9]+,virginica,') -eq 1020 ]] || die "$(count ,virginica,) virginicas"
[[ $(tail -2 "$scratch/predictions.csv") == '3002,,,"sepal_width is not a number: ""?"""
3004,,,"there is no petal_length"' ]] || die "bad rows: $(tail -2 "$scratch/predictions.csv")"

fails_with 'no good row' --function iris-batch --data "$here/README.md"
succeeds --function iris-predict --msg '{"first_line": 1, "lines": ["5.1,3.5,1.4,0.2"]}'
[[ $stdout == *'"species":"setosa"'* ]] || die "one row: $stdout"
fails_with lines --function iris-predict --msg '{"first_line": 1}'

echo "iris-batch: ok"
