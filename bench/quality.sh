#!/usr/bin/env bash
# Measures what each eviction policy loses, and writes docs/policies.md. A quarter of an hour.
#   bench/quality.sh MODEL TEXT
# What was written there by hand, from "## What the numbers say" on, stays.
# WEIR_BUILD_DIR: a build folder to be used instead of build/release.
set -euo pipefail
if [[ $# -ne 2 ]]; then
  echo "usage: bench/quality.sh MODEL TEXT" >&2
  exit 2
fi
model=$(realpath "$1") text=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
build=${WEIR_BUILD_DIR:-}
if [[ -z $build ]]; then
  build=build/release
  cmake --preset release >&2
  cmake --build --preset release --target compare_policies calibrate >&2
fi
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
compare() {
  "$build/examples/compare_policies" --model "$model" --text "$text" --max-tokens 50000 \
    --budgets 64,128,256 --cadence 32 --threads 1 "$@"
}
# By what comes long behind the tokens that are rated.
tail -c 200000 "$text" > "$work/rest"
"$build/examples/calibrate" --model "$model" --text "$work/rest" --max-tokens 32768 \
  --out "$work/centres" >&2
compare --calibration "$work/centres" > "$work/own" &
own=$!
compare --positions within-cache > "$work/within"
wait "$own"

# The same table, less the line of streaming-llm.
differences() {
  awk -F'|' -v OFS='|' '
    NR == FNR { if ($2 ~ /^ streaming-llm /) for (i = 3; i < NF; i++) base[i] = $i; next }
    FNR == 1 { sub("nats per token         ", "minus streaming-llm    ") }
    FNR > 2 { for (i = 3; i < NF; i++) if ($i ~ /[0-9]/) $i = sprintf(" %+8.4f ", $i - base[i]) }
    { print }' "$1" "$1"
}
page=docs/policies.md
kept=
[[ ! -f $page ]] || kept=$(sed -n '/^## What the numbers say/,$p' "$page")
cat > "$page" <<EOF
# Eviction policies, measured

Made by \`bench/quality.sh\` with \`compare_policies\`: \`$(basename "$model")\` on the first 50,000
tokens of \`$(basename "$text")\`, f16 cache, decisions every 32 tokens. Numbers are nats per token;
lower is better.

A column is the most entries that any token reads. A policy that decides at boundaries gets 32 fewer
to keep, for the tokens that come in between: 32, 96 and 224. streaming-llm, accllm and meshtron need
no boundaries and keep all 64, 128 and 256. Where budgets differ between layers or heads (pyramidkv,
ada-kv, d2o, infinite-vggt), it is the mean that is so large. random is the control: 4 sinks, and of
the rest half a window, half tokens drawn by chance.

## Each policy with its own positions

streaming-llm, accllm, sirllm, streaming-vlm, rolling-forcing and motion-stream count positions within
the cache, all others in the stream.

$(cat "$work/own")

The same, less streaming-llm (sinks + window):

$(differences "$work/own")

## All with positions within the cache

Where a policy allows it; a policy that reads keys as they were rotated in the stream does not.

$(cat "$work/within")

The same, less streaming-llm (sinks + window):

$(differences "$work/within")

$kept
EOF
echo "wrote $page" >&2
