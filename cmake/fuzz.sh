#!/usr/bin/env bash
# Fuzzes a part of weir with libFuzzer under the address and undefined-behaviour sanitizers.
#
#   ./cmake/fuzz.sh HARNESS RUNS [LIBFUZZER_OPTION...]
#
# HARNESS is a file of tests/fuzz: loader, tokenizer, sampler, stop_matcher or cache (sequences of
# operations); RUNS is the number of inputs to try. Begins with the inputs of tests/fuzz/corpus and
# with what earlier runs kept in build/fuzz/HARNESS/corpus. Prints how many inputs ran and which lines
# of the headers they reached; a finding is written to build/fuzz/HARNESS/found, its report goes to
# stderr and the script exits with 1. Processors: as many as the process may use for compiling, one
# for fuzzing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

harnesses=(loader tokenizer sampler stop_matcher cache)
if [[ $# -lt 2 || " ${harnesses[*]} " != *" $1 "* || ! "$2" =~ ^[0-9]+$ ]]; then
  echo "usage: fuzz.sh HARNESS RUNS [LIBFUZZER_OPTION...], HARNESS one of ${harnesses[*]}" >&2
  exit 2
fi
harness="$1" runs="$2"
shift 2

weir_need clang-16 libclang-rt-16-dev llvm-16 libxsimd-dev

folder="build/fuzz/$harness"
mkdir -p "$folder/corpus" "$folder/found"
flags=(-std=c++20 -march=native -ffp-contract=off -g1 -Wall -Wextra -Wno-unused-command-line-argument
       -Iinclude -Itests)
sources=("tests/fuzz/$harness.cpp")
[[ "$harness" != cache ]] || sources+=(tests/fuzz/cache_types_*.cpp)

# build PROGRAM FLAGS -- SOURCE...
build() {
  local program="$1" own=() source object objects=() jobs=()
  shift
  while [[ "$1" != -- ]]; do own+=("$1"); shift; done
  shift
  for source in "$@"; do
    object="$program.$(basename "$source" .cpp).o"
    objects+=("$object")
    jobs+=("$source" "$object")
  done
  printf '%s\0' "${jobs[@]}" |
    xargs -0 -n 2 -P "$(nproc)" bash -c \
      'clang++-16 "${@:1:$#-2}" -c "${@: -2:1}" -o "${@: -1}"' _ "${flags[@]}" "${own[@]}"
  clang++-16 "${own[@]}" "${objects[@]}" -o "$program"
}

echo "Building $harness" >&2
build "$folder/fuzz" -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp,indirect-calls -- "${sources[@]}"
build "$folder/replay" -O0 -fprofile-instr-generate -fcoverage-mapping \
  -- "${sources[@]}" tests/fuzz/replay.cpp

status=0
# Two thirds of the time would go into comparisons traced, frames kept aside and rare features weighed.
UBSAN_OPTIONS=print_stacktrace=1 ASAN_SYMBOLIZER_PATH="$(command -v llvm-symbolizer-16)" \
ASAN_OPTIONS=detect_stack_use_after_return=0:quarantine_size_mb=16:malloc_context_size=4 \
  "$folder/fuzz" -runs="$runs" -max_len=256 -entropic=0 -reduce_inputs=0 -timeout=10 \
  -malloc_limit_mb=64 -print_final_stats=1 -artifact_prefix="$folder/found/" "$@" \
  "$folder/corpus" "tests/fuzz/corpus/$harness" \
  >"$folder/log" 2>&1 || status=$?
grep -E '^stat::|^Done ' "$folder/log" || true
if [[ $status -ne 0 ]]; then
  grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)' "$folder/log" | tail -n 80 >&2
  exit 1
fi
echo "0 findings"

LLVM_PROFILE_FILE="$folder/replay.profraw" \
  "$folder/replay" "$folder/corpus" "tests/fuzz/corpus/$harness" >/dev/null
llvm-profdata-16 merge -sparse "$folder/replay.profraw" -o "$folder/replay.profdata"
echo "Lines of the headers that the corpus reaches:"
llvm-cov-16 report "$folder/replay" -instr-profile="$folder/replay.profdata" \
  -show-region-summary=false -show-branch-summary=false -show-functions=false include/weir |
  awk 'BEGIN { printf "%-60s %6s %6s %8s\n", "header", "lines", "missed", "reached" }
       NF > 3 && !/^-|^Filename/ { printf "%-60s %6s %6s %8s\n", $1, $(NF-2), $(NF-1), $NF }'
