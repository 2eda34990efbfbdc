#!/usr/bin/env bash
# Measures what deciding costs under every policy and writes docs/policy_cost.md.
#   bench/policy_cost.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --preset release >&2
cmake --build --preset release --target policy_cost >&2
usual=$(build/release/bench/policy_cost 1024 32 64)
every=$(build/release/bench/policy_cost 1024 1 64)
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
memory was fast.

## At every 32nd token

$usual

## At every token

$every
EOF
echo "wrote docs/policy_cost.md" >&2
