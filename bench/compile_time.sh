#!/usr/bin/env bash
# Measures how long it takes to compile a file that includes all of weir and uses one decoder, and
# prints the median of three as JSON, in the form of Google Benchmark.
#   CXX=g++ bench/compile_time.sh
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
median=$(
  for _ in 1 2 3; do
    start=$EPOCHREALTIME
    "${CXX:-g++}" -std=c++20 -O2 -march=native -ffp-contract=off -Iinclude \
      -c bench/one_decoder.cpp -o /dev/null >&2
    echo "$start $EPOCHREALTIME"
  done | awk '{ print $2 - $1 }' | sort -n | sed -n 2p
)
echo "{\"benchmarks\": [{\"name\": \"compile/one_decoder\", \"real_time\": $median, \"time_unit\": \"s\"}]}"
