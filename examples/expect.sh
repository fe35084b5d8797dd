# Helpers for the examples' test.sh: source it after setting `component`.
#
# shellcheck shell=bash disable=SC2154

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
skep=${SKEP:-$root/target/release/skep}
scratch=$(mktemp -d)
server=
trap '[[ -z $server ]] || stop; rm -rf "$scratch"' EXIT

die() { echo "FAIL: $*" >&2; exit 1; }

[[ -x $skep ]] || die "no $skep: build it (cargo build --release) or set SKEP"
[[ -f $root/$component ]] || die "no $component: run scripts/build-guests"

# run ARG..: a local run of the component; leaves `code`, `stdout` and `stderr`.
run() {
    code=0
    "$skep" run "$root/$component" "$@" >"$scratch/stdout" 2>"$scratch/stderr" || code=$?
    stdout=$(tr -d '\0' <"$scratch/stdout")
    stderr=$(<"$scratch/stderr")
}

# succeeds ARG..: the run must end well.
succeeds() {
    run "$@"
    [[ $code -eq 0 ]] || die "skep run $*: exit code $code: $stderr"
}

# fails_with TEXT ARG..: the job must fail, with a cause that contains TEXT.
fails_with() {
    local text=$1
    shift
    run "$@"
    [[ $code -eq 1 ]] || die "skep run $*: exit code $code instead of 1: $stdout $stderr"
    [[ $stdout$stderr == *"$text"* ]] || die "skep run $*: no '$text' in: $stdout $stderr"
}

# on_each_engine COMMAND: runs it with models on the built-in engine, and where ORT_DYLIB_PATH names ONNX Runtime's
# library, on that as well. Leaves which in `engine`.
on_each_engine() {
    local library=${ORT_DYLIB_PATH:-}
    unset ORT_DYLIB_PATH
    engine=rten
    "$1"
    [[ -n $library ]] || return 0
    engine=onnxruntime
    mkdir "$scratch/home"
    ORT_DYLIB_PATH=$library HOME=$scratch/home XDG_CACHE_HOME=$scratch/home "$1"
    # Where the library's telemetry would keep what it is about to send.
    [[ ! -e $scratch/home/Microsoft ]] || die "ONNX Runtime notes what it runs: $(find "$scratch/home")"
}

# serve NAME: a server with a store of its own, with the environment's engines; leaves `server` and SKEP_URL.
serve() {
    local deadline=$((SECONDS + 60))
    "$skep" serve --listen 127.0.0.1:0 --store "embedded:$scratch/$1" >"$scratch/$1.log" 2>&1 &
    server=$!
    until SKEP_URL=$(grep -som1 'http://127.0.0.1:[0-9]*' "$scratch/$1.log"); do
        kill -0 "$server" 2>/dev/null || die "skep serve has ended: $(<"$scratch/$1.log")"
        ((SECONDS < deadline)) || die "skep serve does not start: $(<"$scratch/$1.log")"
        sleep 0.05
    done
    export SKEP_URL
    "$skep" deploy "$root/$component" >"$scratch/deployed"
}

# stop: ends it.
stop() {
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    server=
    unset SKEP_URL
}

# is_on MODEL: the server must have run the model on this engine.
is_on() {
    local shown
    shown=$("$skep" models show "$1" --json)
    [[ $shown == *"\"engine\":\"$engine\""* ]] || die "$1 is not on $engine: $shown"
}
