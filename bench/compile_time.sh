#!/usr/bin/env bash
# Measures what it takes to compile a file that includes weir: all of it, a cache alone, and one
# decoder, header-only and against weir::compiled. User seconds of the compiler, the median of
# three, as JSON in the form of Google Benchmark. With another checkout of weir both are measured in
# turns, and the other's names begin with `other/`; what it does not have is left out.
#   CXX=g++ bench/compile_time.sh [OTHER_CHECKOUT]
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
TIMEFORMAT=%U

# name, what a file needs, compiler flags; the file comes from standard input
measurements() {
  echo "headers           weir/weir.hpp                  -march=native"
  echo "headers_compiled  weir/kernels/kernel_group.hpp  -DWEIR_COMPILED"
  echo "cache             weir/cache.hpp                 -march=native"
  echo "cache_compiled    weir/cache.hpp                 -DWEIR_COMPILED"
  echo "one_decoder       weir/weir.hpp                  -march=native"
  echo "decoder_compiled  weir/kernels/kernel_group.hpp  -DWEIR_COMPILED"
}

echo '#include <weir/weir.hpp>' >"$scratch/headers.cpp"
echo '#include <weir/cache.hpp>' >"$scratch/cache.cpp"
cp bench/one_decoder.cpp "$scratch/decoder.cpp"

for _ in 1 2 3; do
  while read -r name needed flag; do
    case $name in
      headers*) source=headers ;;
      cache*) source=cache ;;
      *) source=decoder ;;
    esac
    for from in . ${1+"$1"}; do
      [[ -e $from/include/$needed ]] || continue
      seconds=$({ time "${CXX:-g++}" -std=c++20 -O2 "$flag" -ffp-contract=off -I"$from/include" \
        -c "$scratch/$source.cpp" -o "$scratch/object.o" >&2 2>"$scratch/said"; } 2>&1) || {
        cat "$scratch/said" >&2
        exit 1
      }
      prefix=
      [[ $from == . ]] || prefix=other/
      echo "${prefix}compile/$name $seconds"
    done
  done < <(measurements)
done | sort -k1,1 -k2,2n | awk '
  BEGIN { printf "{\"benchmarks\": [" }
  { n[$1]++; if (n[$1] == 2) printf "%s\n  {\"name\": \"%s\", \"real_time\": %s, \"time_unit\": \"s\"}", some++ ? "," : "", $1, $2 }
  END { print "\n]}" }'
