#!/usr/bin/env bash
# Posts files of this repository, and some made here, to the built component, on each engine.
set -euo pipefail
component=target/guests/filetype.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

"$root/scripts/models" >"$scratch/models"
model=$root/target/models/magika.onnx

gzip -nc "$root/README.md" >"$scratch/readme.gz"
tar -cf "$scratch/examples.tar" -C "$root" Makefile README.md
python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").write(sys.argv[2])' "$scratch/readme.zip" "$root/README.md"
cat >"$scratch/small.pdf" <<'END'
%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [3 0 R] /Count 1 >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>
endobj
trailer
<< /Root 1 0 R /Size 4 >>
%%EOF
END
printf '     hello \n' >"$scratch/hello"
: >"$scratch/nothing"

# is LABEL MIME FILE: what the file must be, as Magika's own program says too.
is() {
    local said
    said=$("$skep" post --function filetype --data "$3" --wait 2>"$scratch/stderr") || die "$3: $(<"$scratch/stderr")"
    [[ $said == '{"label":"'"$1"'","score":'*'"mime":"'"$2"'"}' ]] || die "$engine: $3 is $1, but came out as $said"
}

check() {
    serve "$engine"
    "$skep" models add magika "$model" >"$scratch/added"
    is rust application/x-rust "$root/host/src/main.rs"
    is python text/x-python "$root/scripts/docs"
    is shell text/x-shellscript "$root/scripts/wheel"
    is makefile text/x-makefile "$root/Makefile"
    is markdown text/markdown "$root/README.md"
    is toml application/toml "$root/Cargo.toml"
    is json application/json "$root/bench/peers/bullmq/package.json"
    is html text/html "$root/examples/full-workflow/index.html"
    is csv text/csv "$root/examples/iris/iris.csv"
    is svg image/svg+xml "$root/docs/flow.svg"
    is jpeg image/jpeg "$root/examples/thumbnail/cat.jpg"
    is wav audio/x-wav "$root/examples/speech/speech.wav"
    is onnx application/octet-stream "$root/examples/iris/iris.onnx"
    is wasm application/wasm "$root/target/guests/multiply.wasm"
    is gzip application/gzip "$scratch/readme.gz"
    is tar application/x-tar "$scratch/examples.tar"
    is zip application/zip "$scratch/readme.zip"
    is pdf application/pdf "$scratch/small.pdf"
    # The model's best guess is assembler, of which it is not sure enough.
    is txt text/plain "$root/examples/wordcount/alice.txt"
    is txt text/plain "$scratch/hello"
    is empty inode/x-empty "$scratch/nothing"
    is_on magika
    stop
}
on_each_engine check

echo "filetype: ok"
