#!/usr/bin/env bash
# The whole way, for real: a server, the Flask backend in a virtual environment, a job from the page to its
# callback; in a browser where there is one, with curl everywhere.
set -euo pipefail
component=target/guests/full_workflow.wasm
# shellcheck source-path=SCRIPTDIR source=../expect.sh
source "$(dirname "${BASH_SOURCE[0]}")/../expect.sh"

here=$root/examples/full-workflow
# How long anything may take, in seconds; generous, since CI is shared.
patience=60

pids=()
finish() {
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT

# The URL that a program says it serves on, once it does: started NAME PID
started() {
    local deadline=$((SECONDS + patience)) url
    until url=$(grep -som1 'http://127.0.0.1:[0-9]*' "$scratch/$1.log"); do
        kill -0 "$2" 2>/dev/null || die "$1 has ended: $(cat "$scratch/$1.log")"
        ((SECONDS < deadline)) || die "$1 does not start: $(cat "$scratch/$1.log")"
        sleep 0.05
    done
    echo "$url"
}

# field NAME: of the JSON on stdin.
field() { "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Installed once, and again when the pins change.
command -v python3 >/dev/null || die "this needs Python 3 with venv, for the backend"
venv=$root/target/full-workflow
python=$venv/bin/python3
if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed"
fi

"$skep" serve --listen 127.0.0.1:0 --store "embedded:$scratch/store" >"$scratch/skep.log" 2>&1 &
pids+=($!)
SKEP_URL=$(started skep $!)
export SKEP_URL
PORT=0 "$python" "$here/backend.py" >"$scratch/backend.log" 2>&1 &
pids+=($!)
backend=$(started backend $!)
"$skep" deploy "$root/$component" >"$scratch/deploy.log"

# ask NUMBER: as the page asks; leaves what it answers in `said`.
ask() {
    said=$(curl -sS -H 'Content-Type: application/json' -d "{\"number\": $1}" "$backend/do_inference")
}

ask 1000000
id=$(field job_id <<<"$said")
"$skep" wait "$id" >"$scratch/wait.log" 2>&1 || die "job $id: $(cat "$scratch/wait.log")"
[[ $(curl -sS "$backend/status/$id" | field msg) == '[completed]' ]] || die "it has not completed"
result=$(curl -sS "$backend/result/$id" | field short_result)
[[ $result == '78498 primes up to 1000000' ]] || die "result: $result"

deadline=$((SECONDS + patience))
until called=$(curl -sS "$backend/status/$id" | field called_back) && [[ $called != None ]]; do
    ((SECONDS < deadline)) || die "nobody called back"
    sleep 0.05
done
[[ $called == "{'short_result': '78498 primes up to 1000000', 'success': '1'}" ]] || die "callback: $called"

# What cannot work is said at once, in skep's words.
ask '"many"'
[[ $said == *'does not fit'* ]] || die "a word for a number: $said"
[[ $(curl -sS -o "$scratch/none" -w '%{http_code}' "$backend/status/999") == 404 ]] || die "there is no job 999"

curl -sS "$backend/" | grep -q 'id="ask"' || die "there is no page"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ -n $browser ]]; then
    # use NUMBER: what the page says in the end, to a user who types the number and clicks.
    use() { timeout "$patience" "$python" "$here/browser.py" "$browser" "$backend/" "$1"; }
    said=$(use 2000000)
    [[ $said == '[completed] 148933 primes up to 2000000' ]] || die "the page says: $said"
else
    echo "full-workflow: no Chromium here, so that the page was fetched and not used" >&2
fi

echo "full-workflow: ok"
