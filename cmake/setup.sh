# shellcheck shell=bash
# Sourced by demo.sh, test.sh and matrix.sh: goes to the source folder and sees to the packages they
# need. On a Debian-like system missing packages are installed; elsewhere what is there is used.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# A package is there if dpkg says so, or if what it is wanted for is found all the same.
weir_has() {
  if command -v dpkg-query >/dev/null &&
     [[ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" == *" installed" ]]; then
    return 0
  fi
  case "$1" in
    g++) command -v "${CXX:-c++}" >/dev/null ;;
    cmake) command -v cmake >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    libxsimd-dev) weir_has_header xsimd/xsimd.hpp ;;
    catch2) weir_has_header catch2/catch.hpp || weir_has_header catch2/catch_all.hpp ;;
    libbenchmark-dev) weir_has_header benchmark/benchmark.h ;;
    libcli11-dev) weir_has_header CLI/CLI.hpp ;;
    nlohmann-json3-dev) weir_has_header nlohmann/json.hpp ;;
    g++-aarch64-linux-gnu) command -v aarch64-linux-gnu-g++ >/dev/null ;;
    qemu-user) command -v qemu-aarch64 >/dev/null ;;
    clang-16) command -v clang++-16 >/dev/null ;;
    *) return 1 ;;
  esac
}

weir_has_header() {
  command -v "${CXX:-c++}" >/dev/null &&
    echo "#include <$1>" | "${CXX:-c++}" -std=c++20 -E -x c++ - >/dev/null 2>&1
}

# weir_need <package>...: installs what is missing, or says how to and stops.
weir_need() {
  local package missing=() as_root=()
  for package in "$@"; do
    weir_has "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return 0

  if command -v apt-get >/dev/null; then
    if [[ "$(id -u)" -ne 0 ]]; then
      as_root=(sudo)
      if ! sudo -n true 2>/dev/null; then
        echo "Missing packages: ${missing[*]}" >&2
        echo "Install them with: sudo apt-get update && sudo apt-get install -y" \
             "--no-install-recommends ${missing[*]}" >&2
        exit 1
      fi
    fi
    echo "Installing ${missing[*]}" >&2
    weir_quietly "${as_root[@]}" apt-get update
    weir_quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${missing[@]}"
  else
    echo "Missing packages (by their Debian names): ${missing[*]}" >&2
    echo "Install them with this system's package manager; on Debian that is:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
}

# weir_usable <build folder>: true if it is configured, for this folder (not copied from another) and
# with a compiler that is here.
weir_usable() {
  local cache="$1/CMakeCache.txt"
  [[ -f "$1/build.ninja" && -f "$cache" &&
     "$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")" -ef . &&
     "$(sed -n 's/^CMAKE_CACHEFILE_DIR:INTERNAL=//p' "$cache")" -ef "$1" &&
     -x "$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$cache")" ]]
}

# weir_quietly <command>...: shows what the command says, on stderr, only if it fails.
weir_quietly() {
  local log status=0
  log="$(mktemp)"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [[ $status -eq 0 ]] || { echo "failed: $*" >&2; cat "$log" >&2; }
  rm -f "$log"
  return $status
}
