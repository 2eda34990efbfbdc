#!/usr/bin/env bash
# Builds everything, checks that every header compiles alone, and runs all tests. WEIR_PRESET in
# the environment names another preset of CMakePresets.json than `release`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

preset="${WEIR_PRESET:-release}"
weir_need g++ cmake ninja-build libxsimd-dev catch2 libbenchmark-dev libcli11-dev \
  nlohmann-json3-dev
if weir_usable "build/$preset"; then
  cmake --preset "$preset"
else
  cmake --fresh --preset "$preset"
fi
cmake --build "build/$preset" -j "$(nproc)" --target all all_verify_interface_header_sets
ctest --test-dir "build/$preset" --output-on-failure -j 2
