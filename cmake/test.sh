#!/usr/bin/env bash
# Builds everything, checks that every header compiles alone, and runs all tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

weir_need g++ cmake ninja-build libxsimd-dev libeigen3-dev catch2 libbenchmark-dev libcli11-dev \
  nlohmann-json3-dev
cmake --preset release
cmake --build build/release -j "$(nproc)" --target all all_verify_interface_header_sets
ctest --test-dir build/release --output-on-failure -j 2
