#!/usr/bin/env bash
# Runs the built component through `skep run` and checks what comes out.
set -euo pipefail
component=target/guests/wordcount.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

book=$root/examples/wordcount/alice.txt

# The same counts by other means.
printf 'word,count\n' >"$scratch/expected.csv"
tr -cs "A-Za-z0-9'" '\n' <"$book" | sed "s/^'*//; s/'*\$//" | grep . | tr A-Z a-z | LC_ALL=C sort | uniq -c |
    LC_ALL=C sort -k1,1nr -k2 | sed -E 's/^ *([0-9]+) (.*)/\2,\1/' >>"$scratch/expected.csv"

succeeds --function wordcount --data "$book" --out "$scratch/words.csv"
cmp "$scratch/words.csv" "$scratch/expected.csv" || die "the book is not counted as tr, sort and uniq count it"

printf "don't" >"$scratch/short.txt"
succeeds --function wordcount --data "$scratch/short.txt"
[[ $stdout == $'word,count\ndon\'t,1' ]] || die "a text of one word: $stdout"

fails_with 'nothing is stored under "nowhere"' --function wordcount --msg '{"key": "nowhere"}'
fails_with 'missing field `key`' --function wordcount --msg '{}'
printf 'caf\xe9' >"$scratch/latin1.txt"
fails_with 'must be UTF-8' --function wordcount --data "$scratch/latin1.txt"

echo "wordcount: ok"
