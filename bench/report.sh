#!/usr/bin/env bash
# Measures everything that the first part of docs/performance.md reports, and writes it. A quarter of
# an hour. The parts behind it stay: they are for other instruction sets, measured by hand.
#   bench/report.sh [--json FILE]
# --json: leaves all results in FILE too, as [{name, seconds, GB_per_s, fraction}].
# Models of random weights, 6 GB of them, are made in $WEIR_BENCH_DIR or /tmp and kept.
set -euo pipefail
json=
if [[ $# -eq 2 && $1 == --json ]]; then
  json=$(realpath -m "$2")
elif [[ $# -ne 0 ]]; then
  echo "usage: bench/report.sh [--json FILE]" >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
load=$(cut -d ' ' -f 1 /proc/loadavg)
benches=(bandwidth attention matvec prefill decode verify)
cmake --preset release >&2
cmake --build --preset release --target "${benches[@]/#/bench_}" report_results >&2

results=$(mktemp -d)
trap 'rm -r "$results"' EXIT
bin=build/release/bench
for name in "${benches[@]}"; do
  "$bin/bench_$name" --benchmark_out="$results/$name.json" --benchmark_out_format=json >&2
done
cxx=$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' build/release/CMakeCache.txt)
CXX=$cxx bench/compile_time.sh > "$results/compile.json"
[[ -z $json ]] || "$bin/report_results" json "$results"/*.json > "$json"

table() { "$bin/report_results" table "$1" "$results/$2.json"; }
cpu() { lscpu | sed -n "s/^ *$1: *//p"; }
compile=$("$bin/report_results" json "$results/compile.json" | awk '/"seconds"/ { printf "%.1f", $2 }')
isa=AVX2
! grep -qw avx512bw /proc/cpuinfo || isa=AVX-512
others=$(sed -n '/^# AVX2$/,$p' docs/performance.md)
cat > docs/performance.md <<EOF
# Speed, measured

There is a part for each instruction set. The first is for $isa, [the second for AVX2](#avx2), forced.

Made by \`bench/report.sh\`: $(cpu 'Model name'), $(nproc) cores; caches: L1d $(cpu 'L1d cache'),
L2 $(cpu 'L2 cache'), L3 $(cpu 'L3 cache'); $("$cxx" --version | head -n 1), \`-O3 -march=native\`.
The load of other work was $load when it began.

A cell is the median time, what was read per second, and the fraction that this is of the memory
bandwidth. That bandwidth is not a constant of the machine: other guests share it. So each case is
timed in turns with plain reads of 512 MiB by as many threads, in blocks of a few milliseconds, and
the fraction is the median of the ratios of neighbours. 1 is what memory allows; cases whose data
fits in a cache may go beyond. GB are 10⁹ bytes.

## Bandwidth

What a plain loop over cache lines in huge pages gets, the best of a few: one, two or four streams,
with prefetching and without. The smaller sizes fit in caches.

$(table MiB bandwidth)

## Attention

One token's attention in one layer of the shape of Llama 3 8B (32 query heads, 8 KV heads of 128),
through \`kv_cache\` with \`keep_all\`: its queries and key are rotated, key and value are stored, all
entries are attended. Hot is the same layer again and again; cold is one layer after the other, at
least 512 MiB of them. Read are the keys and values, as the codec stores them.

$(table codec,tokens attention)

## Matrix times vector

One row through matrices of 4096 outputs of 14336 weights, at least 512 MiB of them in turns. Read
are the weights.

$(table weights matvec)

## Prefill

The seven matrix products of a layer of a 1.1B model (2048 wide, 5632 inside, 32 and 4 heads of 64)
for 64 or 512 rows at once, in 10⁹ multiply-adds per second; in the last line the whole model, on a
new stream. This is limited by arithmetic, so there is no fraction.

$(table weights,tokens prefill)

## Decode

One token through all of that model (22 layers, 32000 words), logits included, behind a cache in f16
that holds so many tokens. Read are all weights, but of the embeddings one row, and all keys and
values. 1 / time is tokens per second.

$(table 'weights,cached tokens' decode)

## Verification

Several rows through all of that model at once, as speculative decoding verifies them: a final row
and a chain of provisional ones, the logits of all of them included, behind a cache in f16 of 64
tokens. Read are all weights, once. The last number is the cost over that of one row, measured in
turns with it.

$(table 'weights,rows' verify)

## Compiling

A file that includes all of weir and uses one decoder compiles in $compile s (\`-O2\`, median of 3).

$others
EOF
echo "wrote docs/performance.md${json:+ and $json}" >&2
