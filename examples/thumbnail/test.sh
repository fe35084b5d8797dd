#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out.
set -euo pipefail
component=target/guests/thumbnail.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

here=$root/examples/thumbnail

# hex FILE OFFSET BYTES
hex() { od -An -tx1 -v -j "$2" -N "$3" "$1" | tr -d ' \n'; }

# is_png FILE WIDTH HEIGHT: by its signature and its first chunk.
is_png() {
    [[ $(hex "$1" 0 8) == 89504e470d0a1a0a ]] || die "$1 is not a PNG"
    local size
    size="$((16#$(hex "$1" 16 4)))x$((16#$(hex "$1" 20 4)))"
    [[ $size == "$2x$3" ]] || die "$1 is $size, not $2x$3"
}

succeeds --function thumbnail --data "$here/cat.jpg" --content-type image/jpeg --out "$scratch/cat.png"
is_png "$scratch/cat.png" 256 170

# A picture that is small enough keeps its size.
succeeds --function thumbnail --data "$scratch/cat.png" --content-type image/png --out "$scratch/same.png"
is_png "$scratch/same.png" 256 170

fails_with 'cannot read this as a JPEG or PNG picture' \
    --function thumbnail --data "$here/README.md" --content-type image/jpeg --out "$scratch/none.png"
[[ ! -e $scratch/none.png ]] || die "a failed job wrote a result"

echo "thumbnail: ok"
