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

pids=()
finish() {
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT

# metric NAME: what a metric has in all.
metric() { curl -sS "$SKEP_URL/metrics" | awk -v name="$1" '$1 ~ "^" name "(_total)?([{]|$)" { sum += $NF } END { print sum + 0 }'; }

check() {
    succeeds --model "silero-vad=$model" --function speech --data "$recording"
    [[ $stdout == "$expected" ]] || die "$engine: $stdout"
    succeeds --model "silero-vad=$model" --function speech-timeline --data "$recording" --out "$scratch/timeline.svg"
    [[ $(grep -c '<rect class="speech"' "$scratch/timeline.svg") -eq 2 ]] || die "$engine: a picture of other parts"
    python3 -c 'import sys, xml.etree.ElementTree as xml; xml.parse(sys.argv[1])' "$scratch/timeline.svg"

    "$skep" serve --listen 127.0.0.1:0 --store "embedded:$scratch/$engine" >"$scratch/$engine.log" 2>&1 &
    local server=$! patience=$((SECONDS + 60))
    pids+=("$server")
    until SKEP_URL=$(grep -som1 'http://127.0.0.1:[0-9]*' "$scratch/$engine.log"); do
        kill -0 "$server" 2>/dev/null || die "it has ended: $(cat "$scratch/$engine.log")"
        ((SECONDS < patience)) || die "it does not start: $(cat "$scratch/$engine.log")"
        sleep 0.05
    done
    export SKEP_URL
    "$skep" models add silero-vad "$model" >"$scratch/added"
    "$skep" deploy "$root/$component" >"$scratch/deployed"
    local ids
    ids=$(for _ in $(seq 16); do "$skep" post --function speech --data "$recording"; done)
    for id in $ids; do
        [[ $(curl -sS "$SKEP_URL/jobs/$id/result?wait_ms=60000") == "$expected" ]] ||
            die "$engine: job $id: $(curl -sS "$SKEP_URL/jobs/$id/result")"
    done
    [[ $("$skep" models show silero-vad --json) == *"\"$engine\""* ]] ||
        die "not on $engine: $("$skep" models show silero-vad --json)"
    local rows batches
    rows=$(metric skep_inference_rows) batches=$(metric skep_inference_batches)
    ((rows == 16 * 194 && 0 < batches && batches < rows)) || die "$engine: $rows rows in $batches batches"
    kill "$server"
    wait "$server" || true
    unset SKEP_URL
}
on_each_engine check

head -c 1000 "$recording" >"$scratch/cut.wav"
fails_with 'WAV' --model "silero-vad=$model" --function speech --data "$scratch/cut.wav"
fails_with 'WAV' --model "silero-vad=$model" --function speech --data "$root/README.md"

echo "speech: ok"
