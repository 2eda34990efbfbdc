#!/usr/bin/env bash
# Compiles what a user writes first, the first program of README.md, with all warnings, and what it
# leaves out of the library (tests/warnings/every_policy.cpp), and fails if there are any:
#
#   warnings.sh                           all compilers that are here, all instruction sets
#   warnings.sh COMPILER ISA [PROGRAM]    one of each, README's program or PROGRAM at -O2
#
# Prints a line for each. Only what g++ 12 finds in its own intrinsics is let pass, and counted.
set -euo pipefail

compilers=(g++ clang++-16 clang++-19)
isas=(x86-64 x86-64-v3 x86-64-v4 aarch64)
flags=(-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion
       -ffp-contract=off -fno-diagnostics-color)
intrinsics='^[^:]*/lib/gcc/[^:]*/include/[a-z0-9]*intrin\.h:'

# check <compiler> <isa> <level> <program>, in the folder of what was prepared below.
check() {
  local compiler="$1" isa="$2" level="$3" program="$4" log lines total let_pass
  local command=("$compiler" "${flags[@]}" "$level" "-I$WEIR_INCLUDE" "$program")
  # clang's warnings come before it optimises; several of g++'s do not.
  if [[ "$compiler" == *clang* ]]; then
    command+=(-fsyntax-only)
  else
    command+=(-S -o /dev/null)
  fi
  if [[ "$isa" != aarch64 ]]; then
    command+=("-march=$isa")
  else
    command+=(-isystem "$WEIR_XSIMD")
    [[ "$compiler" == *clang* ]] && command+=(--target=aarch64-linux-gnu) ||
      command[0]=aarch64-linux-gnu-g++
  fi
  local name="${command[0]} $isa $level"
  if ! command -v "${command[0]}" >/dev/null; then
    echo "$name skipped: not installed"
    return 0
  fi
  # Standard headers for ARM come with g++'s cross compiler.
  if [[ "$isa" == aarch64 ]] && ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    echo "$name skipped: g++-aarch64-linux-gnu not installed"
    return 0
  fi

  log="$(mktemp "$PWD/log.XXXXXX")"
  if ! LC_ALL=C "${command[@]}" >"$log" 2>&1; then
    echo "$name does not compile"
    cat "$log" >&2
    return 1
  fi
  lines="$(grep -E '(warning|note: the ABI.*): ' "$log" || true)"
  total="$(grep -c . <<<"$lines" || true)"
  let_pass="$(grep -cE "$intrinsics" <<<"$lines" || true)"
  if [[ "$total" -gt "$let_pass" ]]; then
    echo "$name not clean: $((total - let_pass))"
    cat "$log" >&2
    return 1
  fi
  [[ "$let_pass" -eq 0 ]] && echo "$name clean" ||
    echo "$name clean, but for $let_pass located in the compiler's intrinsics"
}

if [[ "${1:-}" == --check ]]; then  # from below
  check "${@:2}"
  exit
fi

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
script="$root/cmake/warnings.sh"
export WEIR_INCLUDE="$root/include" WEIR_XSIMD
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
levels=(-O0 -O2)
program="$folder/first.cpp"
more="$root/tests/warnings/every_policy.cpp"
{
  echo "#include <weir/presets.hpp>"
  sed -n '/^```cpp$/,/^```$/{/^```$/q;/^```/d;p}' "$root/README.md"
} >"$program"
grep -q 'int main' "$program" || { echo "no program found in README.md" >&2; exit 1; }
if [[ $# -ge 2 ]]; then
  compilers=("$1") isas=("$2") levels=(-O2)
  [[ $# -lt 3 ]] || program="$(realpath "$3")"
fi

# What a cross compiler must not see of /usr/include, and what it must.
xsimd="$(echo '#include <xsimd/xsimd.hpp>' | ${CXX:-c++} -std=c++20 -E -x c++ - |
         sed -n 's|^# 1 "\(.*\)/xsimd\.hpp".*|\1|p' | head -n 1)"
WEIR_XSIMD="$folder/include"
mkdir "$WEIR_XSIMD"
ln -s "$xsimd" "$WEIR_XSIMD/xsimd"

cd "$folder"
for isa in "${isas[@]}"; do
  for compiler in "${compilers[@]}"; do
    for level in "${levels[@]}"; do
      printf '%s\0' "$compiler" "$isa" "$level" "$program"
    done
    [[ $# -ge 2 ]] || printf '%s\0' "$compiler" "$isa" -fsyntax-only "$more"
  done
done | xargs -0 -n 4 -P "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" "$script" --check || exit 1
