// Counter-based randomness: a draw is a function of what it is for, not of what was drawn before.
// Philox-4x32: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011, section 3.
#pragma once

#include <array>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// One block of Philox-4x32. Ten rounds are the paper's choice, seven the fewest that passed its
/// batteries of tests.
template <int Rounds = 10>
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < Rounds; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What a random number is drawn for. Numbers for different purposes are independent.
enum class purpose : std::uint32_t {
  sampling = 1,
  drafting = 2,
  acceptance = 3,
  scoring = 4,
  residual = 5,
  trials = 6
};

/// The randomness of one stream. Two streams with the same seed and different keys, or two
/// purposes, stream indices or draws of one stream, share nothing.
struct random_source {
  std::uint64_t seed = 0;
  std::uint64_t stream_key = 0;

  /// 64 random bits for draw number `draw` at `index`. O(1), stateless.
  constexpr std::uint64_t bits(purpose why, std::uint64_t index, std::uint32_t draw = 0) const {
    // The stream key enters through a block of its own, so that (seed, key) pairs do not collide
    // the way seed + key would.
    const auto mixed = philox({low(stream_key), high(stream_key), 0, 0}, {low(seed), high(seed)});
    const auto block = philox({low(index), high(index), static_cast<std::uint32_t>(why), draw},
                              {mixed[0], mixed[1]});
    return std::uint64_t{block[1]} << 32 | block[0];
  }

  /// Uniform on [0, 1), 53 bits.
  constexpr double uniform(purpose why, std::uint64_t index, std::uint32_t draw = 0) const {
    return static_cast<double>(bits(why, index, draw) >> 11) * 0x1p-53;
  }

 private:
  static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static constexpr std::uint32_t high(std::uint64_t x) {
    return static_cast<std::uint32_t>(x >> 32);
  }
};

}  // namespace weir::inline WEIR_TARGET
