#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out, on each engine.
set -euo pipefail
component=target/guests/iris.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

here=$root/examples/iris
model=(--model "iris=$here/iris.onnx")

# 150 flowers, and what is to come of them.
{
    cat "$here/iris.csv"
    echo '5.1,?,1.4,0.2'
    echo
    echo '5.1,3.5'
} >"$scratch/rows.csv"

check() {
    succeeds "${model[@]}" --function predict \
        --msg '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'
    # As scikit-learn has it: train.py prints that, and which lines it takes for another species.
    [[ $stdout == '{"species":"setosa","probabilities":{"setosa":0.9847,"versicolor":0.0153,"virginica":0.0}}' ]] ||
        die "$engine: the first flower: $stdout"

    succeeds "${model[@]}" --function predict-csv --data "$scratch/rows.csv" --out "$scratch/predictions.csv"
    local wrong
    wrong=$(paste -d, <(sed 1d "$here/iris.csv") <(sed '1d; 152,$d' "$scratch/predictions.csv") |
        awk -F, '$5 != $7 { printf "%s ", $6 }')
    [[ $wrong == '72 79 85 135 ' ]] || die "$engine: wrong are the lines $wrong"
    [[ $(tail -2 "$scratch/predictions.csv") == '152,,,"sepal_width is not a number: ""?"""
154,,,"there is no petal_length"' ]] || die "$engine: bad rows: $(tail -2 "$scratch/predictions.csv")"

    "$here/rows" 3000 >"$scratch/many.csv"
    succeeds "${model[@]}" --function predict-csv --data "$scratch/many.csv" --out "$scratch/predictions.csv"
    [[ $(grep -cE '^[0-9]+,setosa,[01]\.[0-9]{4},$' "$scratch/predictions.csv") -eq 1000 ]] ||
        die "$engine: $(grep -c ,setosa, "$scratch/predictions.csv") setosas"
}
on_each_engine check

# Refused by the schema or by the handler.
fails_with object "${model[@]}" --function predict --msg '"asdfg"'
fails_with sepal_length "${model[@]}" --function predict \
    --msg '{"sepal_length": "asdfg", "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'
fails_with 'no good row' "${model[@]}" --function predict-csv --data "$here/README.md"
# Without its model it says so.
fails_with '"iris"' --function predict-csv --data "$scratch/rows.csv"

echo "iris: ok"
