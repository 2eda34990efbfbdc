// What the fuzzing harnesses share: a string of bytes read as choices, and how a finding is told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>

#include <weir/core/error.hpp>

/// Called by libFuzzer, or by replay.cpp, with one input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace weir_fuzz {

/// What weir refused last, for whoever looks into a finding.
inline std::string last_refusal;

/// A finding: says it and ends the program, as a sanitizer would.
[[noreturn]] inline void found(std::string_view what) {
  std::fprintf(stderr, "finding: %.*s\n", static_cast<int>(what.size()), what.data());
  if (!last_refusal.empty()) std::fprintf(stderr, "refused last: %s\n", last_refusal.c_str());
  std::fflush(stderr);
  std::abort();
}

/// A property that holds of every input, or else a finding.
inline void check(bool holds, std::string_view what) {
  if (!holds) [[unlikely]]
    found(what);
}

/// True if `work` returned, false if it threw what weir throws on purpose. Anything else that it
/// throws is a finding.
template <class Work>
bool succeeds(Work&& work) {
  try {
    work();
    return true;
  } catch (const weir::error::base& e) {
    last_refusal = e.what();
    return false;
  } catch (const std::exception& e) {
    found(std::string("threw something else than weir::error: ") + e.what());
  }
}

/// What is read behind the last byte.
enum class behind : std::uint8_t {
  zeros,
  noise,  ///< numbers that follow from the bytes: an input of any length drives a long run
};

/// Bytes read one after the other as choices. Never fails: see `behind`. A byte that is 0 means the
/// first choice, so that the empty input means whatever is plain.
class fuzz_input {
 public:
  fuzz_input(const std::uint8_t* data, std::size_t size, behind end = behind::zeros)
      : at_(data), left_(size), end_(end) {
    if (end_ == behind::zeros) return;
    for (std::size_t i = 0; i < size; ++i) noise_ = (noise_ ^ data[i]) * 0x100000001B3u;
  }

  bool empty() const { return left_ == 0; }

  std::uint8_t byte() {
    if (left_ == 0) return end_ == behind::zeros ? std::uint8_t{0} : next_noise();
    --left_;
    return *at_++;
  }

  /// Any value of a number's type, bit by bit.
  template <class T>
  T number() {
    static_assert(std::is_arithmetic_v<T>);
    std::uint8_t bytes[sizeof(T)];
    for (std::uint8_t& b : bytes) b = byte();
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }

  /// A number from `low` to `high`, both included, at most 2^32 apart.
  std::size_t within(std::size_t low, std::size_t high) {
    const std::size_t choices = high - low + 1;
    if (choices <= 256) return low + byte() % choices;
    if (choices <= 65536) return low + number<std::uint16_t>() % choices;
    return low + number<std::uint32_t>() % choices;
  }
  /// False where the input has ended.
  bool one_in(std::size_t n) { return within(0, n - 1) == n - 1; }

  template <class List>
  decltype(auto) pick(const List& from) {
    return from[within(0, std::size(from) - 1)];
  }

  /// The next bytes as they are, at most `most`; fewer where the input ends.
  std::string_view text(std::size_t most) {
    const std::size_t n = std::min(within(0, most), left_);
    const std::string_view taken(reinterpret_cast<const char*>(at_), n);
    at_ += n;
    left_ -= n;
    return taken;
  }

 private:
  std::uint8_t next_noise() {
    noise_ += 0x9E3779B97F4A7C15u;
    std::uint64_t x = noise_;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::uint8_t>(x >> 56);
  }

  const std::uint8_t* at_;
  std::size_t left_;
  behind end_;
  std::uint64_t noise_ = 0xCBF29CE484222325u;
};

}  // namespace weir_fuzz
