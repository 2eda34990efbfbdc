#!/usr/bin/env bash
# Measures speculation, and writes docs/speculation.md. About an hour.
#   bench/speculation.sh MODELS TEXT...
# MODELS: a folder with weir-tiny-f16.gguf, weir-nano-f16.gguf and stories260K-f32.gguf; prompts are
# cut from the TEXTs. What was written there by hand, from "## What the numbers say" on, stays.
# WEIR_BUILD_DIR: a build folder to be used instead of build/release. WEIR_WORK_DIR: a folder where
# each part's output is kept, and not measured again if it is there.
set -euo pipefail
if [[ $# -lt 2 ]]; then
  echo "usage: bench/speculation.sh MODELS TEXT..." >&2
  exit 2
fi
models=$(realpath "$1")
shift
texts=$(for text; do realpath "$text"; done)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
build=${WEIR_BUILD_DIR:-}
if [[ -z $build ]]; then
  build=build/release
  cmake --preset release >&2
  cmake --build --preset release --target speculative speculation_exactness \
    speculation_acceptance speculation_speed bench_verify >&2
fi
work=${WEIR_WORK_DIR:-}
if [[ -z $work ]]; then
  work=$(mktemp -d)
  trap 'rm -r "$work"' EXIT
fi
xargs -d '\n' cat <<< "$texts" > "$work/text"

# part NAME COMMAND...: what it prints, once.
part() {
  local name=$1
  shift
  if [[ ! -s $work/$name ]]; then
    "$@" > "$work/$name.part"
    mv "$work/$name.part" "$work/$name"
  fi
}
# Passages that are quoted again, as a summary with quotations would.
quote() {
  local passage
  passage=$(head -c 20700 "$work/text" | tail -c 700 | tr '\n' ' ')
  for drafter in prompt-lookup lookahead ngram-cache; do
    for adaptive in "" --adaptive; do
      "$build/examples/speculative" --model "$models/weir-tiny-f16.gguf" --policy window \
        --window 500 --prompt "$passage He read it again: \"${passage:0:80}" --tokens 160 \
        --rounds 9 --drafter "$drafter" --draft-tokens 8 $adaptive 2>&1 > "$work/said" |
        awk -v name="$drafter${adaptive:+, adaptive}" '
          /^tokens /{ tokens = $2 } /^passes/{ passes = $5 } /^drafts/{ drafts = $2 }
          /^  accepted/{ accepted = $3 " %" } /times as fast/{ faster = $7 }
          /^the tokens/{ same = $0 }
          END { printf "| %s | %.2f | %s | %s× | %s |\n", name, tokens / passes, accepted, faster, same }'
    done
  done
}
verify() {
  "$build/bench/bench_verify" --benchmark_filter='^verify/(q8_0|q4_k)/[0-9]+/2' --benchmark_format=json 2> /dev/null |
    python3 -c '
import json, sys
rows = {}
for b in json.load(sys.stdin)["benchmarks"]:
    _, type, n, threads = b["name"].split("/")[:4]
    if threads == "2" and "ratio" in b:
        rows.setdefault(type, {})[int(n)] = b["ratio"]
ns = sorted({n for r in rows.values() for n in r})
print("| weights | " + " | ".join(f"{n} row" + "s" * (n > 1) for n in ns) + " |")
print("|---" * (len(ns) + 1) + "|")
for type, r in rows.items():
    print(f"| {type} | " + " | ".join(f"{r[n]:.2f}×" if n in r else "" for n in ns) + " |")'
}
part exactness "$build/bench/speculation_exactness" "$models" "$work/text"
part acceptance "$build/bench/speculation_acceptance" "$models/weir-tiny-f16.gguf" \
  "$models/weir-nano-f16.gguf" "$work/text"
part speed "$build/bench/speculation_speed"
part verify verify
part quote quote

page=docs/speculation.md
kept=
[[ ! -f $page ]] || kept=$(sed -n '/^## What the numbers say/,$p' "$page")
cat > "$page" <<EOT
# Speculation, measured

Made by \`bench/speculation.sh\`: $(awk -F': *' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores; $("${CXX:-g++}" --version | head -1), \`-O3 -march=native\`.

## Nothing changes

Every stream is decoded without drafts, alone, and with them, alone and in batches of 4 and 8 whose
streams differ in length and in what is accepted. Prompts are 64 pieces of novels, of 8 to 71 tokens;
128 tokens follow each. Compared are the ids, and every bit of the logits that each was drawn from.
Each table counts all streams, another way each.

$(cat "$work/exactness")

## Tokens a pass, by the shape of the drafts

weir-tiny, drafted by weir-nano: 64 prompts of 128 tokens, mean and standard error over prompts. A
chain is draft_model; a fixed tree is static_tree, its shape chosen by how often what the target says
is the draft model's first, second, … choice; a grown tree is dynamic_tree with chances learned.
Shapes and chances come from 64 other prompts. The last two columns are differences, prompt by prompt.

$(sed 's/^## /### /' "$work/acceptance")

## What several rows cost

A pass of a 1.1B model (random weights, repacked where they can be) over n rows with the logits of all of
them, over a pass of one row measured in turns; two threads.

$(cat "$work/verify")

## What drafting brings where weights come from memory

The same model in Q8_0, repacked, with chains of drafts from an oracle that is right as often as the first
column says. "Passes cost" is the time of a round over that of a plain token.

$(cat "$work/speed")

## Quotations

weir-tiny goes on behind 700 characters of a novel and the beginning of their repetition, greedy: 160
tokens; medians of 9 runs in turns.

| drafter | tokens a pass | drafts accepted | times as fast as plain | |
|---|---|---|---|---|
$(cat "$work/quote")

$kept
EOT
echo "wrote $page" >&2
