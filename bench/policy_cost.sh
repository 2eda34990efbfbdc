#!/usr/bin/env bash
# Measures what deciding costs under every policy and writes docs/policy_cost.md.
#   bench/policy_cost.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --preset release >&2
cmake --build --preset release --target policy_cost >&2
measure() { build/release/bench/policy_cost 1024 "$1" 64 ${2:+"$2"}; }
error_of() { sed -n 's/.*± \([0-9.]*\) |$/\1/p' <<< "$1"; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }
# Rows of a table that something disturbed are measured again, up to twice: the steadiest counts.
steady() {
  local row again error
  while IFS= read -r row; do
    for _ in 1 2; do
      error=$(error_of "$row")
      [[ -n $error ]] && less 1 "$error" || break
      again=$(measure "$1" "$(cut -d' ' -f2 <<< "$row")" | tail -n 1)
      ! less "$(error_of "$again")" "$error" || row=$again
    done
    echo "$row"
  done
}
usual=$(steady 32 <<< "$(measure 32)")
every=$(steady 1 <<< "$(measure 1)")
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
cxx=$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' build/release/CMakeCache.txt)
cat > docs/policy_cost.md <<EOF
# What deciding costs

Made by \`bench/policy_cost.sh\`: $cpu, two threads; $("$cxx" --version | head -n 1), \`-O3
-march=native\`.

Each policy against the same kept set given for free: the same kernels, the same tokens, and a policy
that looks up what the other one kept. One token at a time through the attention of Llama-3-8B (32
layers of 32 query heads, 8 KV heads, head_dim 128), f16, 1024 entries kept. Both run in turns, four
times in new memory; numbers are means of each time's medians, with their standard error.
Policies that only look at positions are masks and decide nothing.

The machine is shared, and its memory fast at one time and slow at another: what attention takes says
which it was for a row. Deciding is arithmetic rather than reading, so its share is larger where
memory was fast. Rows with an error above 1 were measured again, up to twice; the steadiest counts.

## At every 32nd token

$usual

## At every token

$every
EOF
echo "wrote docs/policy_cost.md" >&2
