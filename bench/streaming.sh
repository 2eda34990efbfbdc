#!/usr/bin/env bash
# Measures endless streams and writes docs/streaming.md.
#   bench/streaming.sh MODEL_FOR_LEVEL TEXT
# MODEL_FOR_LEVEL is streamed for a million tokens; TEXT has at least 100,000 tokens under the
# bundled model.
set -euo pipefail
if [ $# -ne 2 ]; then
  echo "usage: bench/streaming.sh MODEL_FOR_LEVEL TEXT" >&2
  exit 2
fi
level_model=$(realpath "$1") text=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --preset release >&2
cmake --build --preset release --target held_level streaming_llm >&2
level=$(build/release/bench/held_level "$level_model")
table=$(build/release/bench/streaming_llm examples/models/weir-tiny-f16.gguf "$text")
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cxx=$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' build/release/CMakeCache.txt)
cat > docs/streaming.md <<EOF
# Endless streams, measured

Made by \`bench/streaming.sh\`: $cpu, $(nproc) cores; $("$cxx" --version | head -n 1), \`-O3 -march=native\`.

## What is lost, what is gained

StreamingLLM (arXiv 2309.17453) in shape: the bundled model on the first 100,000 tokens of
\`$(basename "$text")\`, f16 cache, positions within the cache. Scores come from one pass in chunks;
times are medians of decoding single tokens, in turns with re-prefilling, on all cores.

$table

The paper's headline is 22.2× over re-prefill, on a model large enough for attention and matrices to
keep a GPU busy; here a token costs about 1/256 of a window, less what prefill gains from reading
weights once for many rows. The bundled model is too small to lean on sinks: that the window without
them collapses is not to be seen on it, that the stream stays level is.

## The held level

One stream of \`$(basename "$level_model")\` under 4 sinks and a window of 252, compared at token
1,000,000 with itself at token 10,000 and, in alternating blocks of 500 tokens, with a stream warmed
to 10,000 (one thread).

\`\`\`json
$level
\`\`\`
EOF
echo "wrote docs/streaming.md" >&2
