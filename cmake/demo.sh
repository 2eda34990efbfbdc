#!/usr/bin/env bash
# Builds the streaming example and runs it: without arguments on the bundled model, otherwise with
# the arguments given (--help lists them). Only generated text goes to stdout.
set -euo pipefail
called_from="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

weir_need g++ cmake ninja-build libxsimd-dev libcli11-dev
weir_usable build/release || weir_quietly cmake --fresh --preset release \
  -DWEIR_TESTS=OFF -DWEIR_BENCH=OFF -DWEIR_VERIFY_HEADERS=OFF
echo "Building the example (about a minute the first time)" >&2
weir_quietly cmake --build build/release --target stream -j "$(nproc)"

stream="$PWD/build/release/examples/stream"
if [[ $# -eq 0 ]]; then
  set -- --model "$PWD/examples/models/weir-tiny-f16.gguf" --tokens 300 \
         --prompt "It was a dark night"
fi
cd "$called_from"
exec "$stream" "$@"
