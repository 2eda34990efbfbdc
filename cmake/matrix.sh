#!/usr/bin/env bash
# Builds the core tests for other instruction sets than this machine's best, and runs them where its
# processor, or qemu's, can. A line for each NAME, in the order in which they are done:
#
#   NAME run
#   NAME compiled: why it was not run
#   NAME skipped: why it was not even compiled
#   NAME failed: at what         the end of its log goes to stderr; the script exits with 1
#
#   ./cmake/matrix.sh            all of these:
#     sse2          x86-64       g++ -Og     without fused multiply-add, without half floats
#     avx2          x86-64-v3    g++ -Og
#     avx512        x86-64-v4    g++ -O2
#     neon          aarch64      g++ -Og     Debian's cross compiler; run under qemu-user
#     avx2-clang    x86-64-v3    clang -O2   the newest there is, at least 16
#   ./cmake/matrix.sh NAME...    these; besides those above
#     sse2-clang, avx512-clang   clang -O2
#     avx2-O0, avx2-O3           g++
#
# The level is that of policies and streams; kernels and their tests have -O2 or -O3, as users have
# them.
# Of the tests: the kernels' and codecs', caches cut in any way, a conformance run, and record.bits,
# which holds logits and kept sets of whole streams against tests/record/record.txt; with the names
# that have a hyphen the last alone, which tells compilers apart. Under qemu cache.invariance is left
# out: ten minutes for what a conformance run looks at too, chunks and threads. Each NAME has a folder
# of its own in build/matrix.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

names=(sse2 avx2 avx512 neon avx2-clang)
[[ $# -eq 0 ]] || names=("$@")
for name in "${names[@]}"; do
  case "$name" in
    sse2 | avx2 | avx512 | neon | sse2-clang | avx2-clang | avx512-clang | \
      avx2-O0 | avx2-O3) ;;
    *)
      echo "matrix.sh: $name is none of sse2, avx2, avx512, neon, sse2-clang, avx2-clang," \
           "avx512-clang, avx2-O0 and avx2-O3" >&2
      exit 2
      ;;
  esac
done

record=(simd.simd record.bits)
all=("${record[@]}" core.half core.elementary core.contraction simd.log2 simd.random
     kernels.attention kernels.matmul kernels.packed_weights kernels.rope cache.round_pair
     cache.invariance conformance.suite)

# The newest clang++ from 16 on, if any.
newest_clang() {
  local version
  for version in $(seq 30 -1 16); do
    command -v "clang++-$version" && return 0
  done
  return 1
}

# What this processor lacks of the flags given, the first of them.
lacks() {
  local flag
  for flag in "$@"; do
    grep -qw "$flag" /proc/cpuinfo || { echo "$flag"; return 0; }
  done
  return 1
}

# do_one NAME: prints its line.
do_one() {
  local name="$1" folder="build/matrix/$1" log="build/matrix/$1.log"
  local level=-Og march="" why_not="" flag targets=("${all[@]}")
  local settings=(-DWEIR_COMPILED_ISAS="${name%%-*}" -DWEIR_NATIVE=OFF -DWEIR_WERROR=OFF
                  -DWEIR_EXAMPLES=OFF -DWEIR_BENCH=OFF -DWEIR_VERIFY_HEADERS=OFF -DWEIR_INSTALL=OFF)
  case "$name" in
    neon)
      if ! (weir_need g++-aarch64-linux-gnu qemu-user); then
        echo "$name skipped: g++-aarch64-linux-gnu and qemu-user cannot be installed"
        return 0
      fi
      settings+=(-DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/toolchains/aarch64.cmake")
      mapfile -t targets < <(printf "%s\n" "${all[@]}" | grep -vx cache.invariance)
      # As of version 3 Catch2 is a library, here of this machine's kind.
      ! weir_has_header catch2/catch_all.hpp || targets=(record.bits)
      ;;
    *)
      if [[ "$(uname -m)" != x86_64 ]]; then
        echo "$name skipped: this machine is no x86-64"
        return 0
      fi
      ;;
  esac
  case "$name" in
    sse2*) march=-march=x86-64 ;;
    avx2*)
      march=-march=x86-64-v3
      flag="$(lacks avx2 fma f16c bmi1 bmi2 movbe abm)" && why_not="the processor lacks $flag"
      ;;
    avx512*)
      march=-march=x86-64-v4
      flag="$(lacks avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni)" &&
        why_not="the processor lacks $flag"
      ;;
  esac
  case "$name" in
    avx512) level=-O2 ;;
    *-O[03]) level="-${name#*-}" targets=("${record[@]}") ;;
    *-clang)
      level=-O2 targets=("${record[@]}")
      if ! newest_clang >/dev/null && ! (weir_need clang-16); then
        echo "$name skipped: clang-16 cannot be installed"
        return 0
      fi
      settings+=(-DCMAKE_CXX_COMPILER="$(newest_clang)")
      ;;
  esac
  # Headers are precompiled at -O2: g++ 12 may crash where they had -Og and what uses them has -O2.
  local base=-O2
  [[ $level != -O0 ]] || base=-O0
  settings+=(-DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS="$march"
             -DCMAKE_CXX_FLAGS_RELEASE="$base -DNDEBUG" -DWEIR_TEST_LEVEL="$level")

  mkdir -p build/matrix
  if ! { cmake -S . -B "$folder" -G Ninja "${settings[@]}" &&
         cmake --build "$folder" -j "$(nproc)" --target "${targets[@]}"; } >"$log" 2>&1; then
    failed "$name" build "$log"
  elif [[ -n "$why_not" ]]; then
    echo "$name compiled: $why_not"
  elif ! ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure --no-tests=error \
           -R "^($(IFS='|'; echo "${targets[*]//./\\.}")|record\..*)\$" >"$log" 2>&1; then
    failed "$name" tests "$log"
  else
    echo "$name run"
  fi
}

status=0
failed() {
  echo "$1 failed: $2"
  echo "--- the end of $3" >&2
  tail -n 60 "$3" >&2
  status=1
}

weir_need g++ cmake ninja-build libxsimd-dev catch2
for name in "${names[@]}"; do
  do_one "$name"
done
exit $status
