#!/usr/bin/env bash
# What one program for all machines costs: a program built for any x86-64 (or any 64-bit ARM) against
# weir::compiled, which holds all instruction sets, beside the same program built with -march=native.
#   bench/one_program.sh MODEL [ROUNDS]
# Prints each round's seconds a token of both, run in turns, and the median of the ratios.
set -euo pipefail
if [[ $# -lt 1 || $# -gt 2 ]]; then
  echo "usage: bench/one_program.sh MODEL [ROUNDS]" >&2
  exit 2
fi
model=$(realpath "$1") rounds=${2:-9}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
for build in portable native; do
  cmake --preset release -B "build/bench-$build" -DWEIR_TESTS=OFF -DWEIR_EXAMPLES=OFF \
    -DWEIR_COMPILED_ISAS="$([[ $build == portable ]] && echo all || echo native)" >&2
done
cmake --build build/bench-portable --target decode_speed >&2
cmake --build build/bench-native --target decode_speed_native >&2
for ((round = 0; round < rounds; ++round)); do
  portable=$(build/bench-portable/bench/decode_speed "$model")
  native=$(build/bench-native/bench/decode_speed_native "$model")
  echo "${portable% *} ${native% *} ${portable#* } ${native#* }"
done | tee >(cat >&2) | awk '{ print $1 / $2 }' | sort -n |
  awk '{ ratio[NR] = $1 } END { printf "portable / native: %.4f (%.4f to %.4f)\n",
         ratio[int((NR + 1) / 2)], ratio[1], ratio[NR] }'
