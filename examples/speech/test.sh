#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out, on each engine; then many recordings at once on a
# server, whose calls share batches.
set -euo pipefail
component=target/guests/speech.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

recording=$root/examples/speech/speech.wav
"$root/scripts/models" >"$scratch/models"
model=$root/target/models/silero-vad.onnx
# As get_speech_timestamps of the package silero-vad has it.
expected='{"duration_s":6.2,"segments":[{"start_s":0.226,"end_s":2.878},{"start_s":3.234,"end_s":6.046}]}'

# metric NAME: what a metric has in all namespaces and models.
metric() { curl -sS "$SKEP_URL/metrics" | awk -v name="$1" 'index($1, name "{") == 1 { sum += $NF } END { print sum + 0 }'; }

check() {
    succeeds --model "silero-vad=$model" --function speech --data "$recording"
    [[ $stdout == "$expected" ]] || die "$engine: $stdout"
    succeeds --model "silero-vad=$model" --function speech-timeline --data "$recording" --out "$scratch/timeline.svg"
    [[ $(grep -c '<rect class="speech"' "$scratch/timeline.svg") -eq 2 ]] || die "$engine: a picture of other parts"
    python3 -c 'import sys, xml.etree.ElementTree as xml; xml.parse(sys.argv[1])' "$scratch/timeline.svg"

    serve "$engine"
    "$skep" models add silero-vad "$model" >"$scratch/added"
    local ids
    ids=$(for _ in $(seq 16); do "$skep" post --function speech --data "$recording"; done)
    for id in $ids; do
        [[ $(curl -sS "$SKEP_URL/jobs/$id/result?wait_ms=60000") == "$expected" ]] ||
            die "$engine: job $id: $(curl -sS "$SKEP_URL/jobs/$id/result")"
    done
    is_on silero-vad
    local rows batches
    rows=$(metric skep_inference_batch_rows_sum) batches=$(metric skep_inference_batch_rows_count)
    ((rows == 16 * 194 && 0 < batches && batches < rows)) || die "$engine: $rows rows in $batches batches"
    stop
}
on_each_engine check

head -c 1000 "$recording" >"$scratch/cut.wav"
fails_with 'WAV' --model "silero-vad=$model" --function speech --data "$scratch/cut.wav"
fails_with 'WAV' --model "silero-vad=$model" --function speech --data "$root/README.md"

echo "speech: ok"
