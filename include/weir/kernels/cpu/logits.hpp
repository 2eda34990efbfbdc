// Passes over logits that sampling takes. The same bits on every width.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/core/target.hpp>
#include <weir/simd/random.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

/// The largest of `logits` `[vocabulary]`, NaN left out; −∞ if there is none. O(vocabulary).
template <class A = simd::native>
float largest_logit(std::span<const float> logits) {
  constexpr std::size_t lanes = simd::lanes<A>;
  auto best = simd::broadcast<A>(-std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + lanes <= logits.size(); i += lanes) {
    const auto x = simd::load<A>(&logits[i]);
    best = xsimd::select(x > best, x, best);
  }
  float largest = simd::max_lane<A>(best);
  for (; i < logits.size(); ++i) largest = logits[i] > largest ? logits[i] : largest;
  return largest;
}

/// weights[i] = exp((logits[i] − largest) / temperature), and their sum, added up over 16 lanes.
/// `weights` `[vocabulary]` may be the logits' own memory. O(vocabulary).
template <class A = simd::native>
double softmax_weights(std::span<const float> logits, float largest, float temperature,
                       float* weights) {
  constexpr std::size_t lanes = simd::lanes<A>;
  constexpr float none = -std::numeric_limits<float>::infinity();
  const std::size_t n = logits.size();
  const auto top = simd::broadcast<A>(largest), by = simd::broadcast<A>(temperature);
  const auto zero = simd::broadcast<A>(0.0f);
  std::size_t i = 0;
  // Equal infinities have no difference; NaN compares with nothing.
  for (; i + lanes <= n; i += lanes) {
    const auto x = simd::load<A>(&logits[i]);
    const auto below = xsimd::select(x == top, zero, simd::divide<A>(x - top, by));
    simd::store<A>(weights + i,
                   simd::exp<A>(xsimd::select(below <= zero, below, simd::broadcast<A>(none))));
  }
  for (; i < n; ++i) {
    const float below = logits[i] == largest ? 0.0f : (logits[i] - largest) / temperature;
    weights[i] = simd::exp(below <= 0 ? below : none);
  }

  double lane[16] = {};
  for (i = 0; i + 16 <= n; i += 16)
    for (std::size_t l = 0; l < 16; ++l) lane[l] += double{weights[i + l]};
  for (; i < n; ++i) lane[i % 16] += double{weights[i]};
  double sum = 0;
  for (const double x : lane) sum += x;
  return sum;
}

/// bits[i] = the first two words of philox({low(id), high(id), 0, 0}, key), id = ids[i]. O(n).
template <class A = simd::native>
void token_noise(const std::uint64_t* ids, std::size_t n, std::uint64_t key, std::uint64_t* bits) {
  constexpr std::size_t lanes = simd::lanes<A>;
  const simd::philox_key words_of(std::array<std::uint32_t, 2>{
      static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
  for (std::size_t at = 0; at < n; at += lanes) {
    const std::size_t some = std::min(lanes, n - at);
    std::uint64_t id[lanes] = {};
    for (std::size_t l = 0; l < some; ++l) id[l] = ids[at + l];
    simd::ints<A> words[4];
    simd::philox<A>(id, 0, 0, words_of, words);
    std::int32_t low[lanes], high[lanes];
    words[0].store_unaligned(low);
    words[1].store_unaligned(high);
    for (std::size_t l = 0; l < some; ++l)
      bits[at + l] = std::uint64_t{static_cast<std::uint32_t>(high[l])} << 32 |
                     static_cast<std::uint32_t>(low[l]);
  }
}

}  // namespace weir::inline WEIR_TARGET::cpu
