// Softmax of noisy logits, in registers: kernels/noisy_softmax.hpp says what of. The same bits on
// every width.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include <weir/core/target.hpp>
#include <weir/kernels/noisy_softmax.hpp>
#include <weir/simd/random.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

namespace detail {

template <class A, std::size_t Heads>
void add_noisy_softmax(const noisy_softmax& job) {
  constexpr std::size_t lanes = simd::lanes<A>, registers = 16 / lanes;  // 16 sums on any width
  const simd::philox_key<7> key(job.key);  // enough for noise, and 0.7 of the work
  const std::size_t n = job.slots;
  float* const noisy = job.scratch;
  const float* logits[Heads];
  for (std::size_t h = 0; h < Heads; ++h) logits[h] = job.logits[h];

  const auto scale = simd::broadcast<A>(1 / job.temperature);
  const auto nats = simd::broadcast<A>(std::numbers::ln2_v<float>);
  simd::floats<A> most[Heads];
  for (auto& m : most) m = simd::broadcast<A>(-std::numeric_limits<float>::infinity());
  for (std::size_t s = 0; s < n; s += lanes) {
    simd::ints<A> words[4], bits[Heads];
    simd::floats<A> noise[Heads];
    simd::philox<A>(job.index + s, job.counter[0], job.counter[1], key, words);
    for (std::size_t h = 0; h < Heads; ++h) bits[h] = words[h];
    simd::gumbel_bits<A>(bits, noise);
    for (std::size_t h = 0; h < Heads; ++h) {
      const auto x = simd::fma<A>(noise[h], nats, simd::load<A>(logits[h] + s)) * scale;
      simd::store<A>(noisy + h * n + s, x);
      most[h] = simd::max<A>(most[h], x);
    }
  }

  simd::floats<A> weight[Heads];
  for (std::size_t h = 0; h < Heads; ++h) {
    const auto top = simd::broadcast<A>(simd::max_lane<A>(most[h]));
    simd::floats<A> sum[registers];
    for (auto& part : sum) part = simd::broadcast<A>(0.0f);
    for (float* x = noisy + h * n; x != noisy + (h + 1) * n;)
      for (std::size_t r = 0; r < registers; ++r, x += lanes) {
        const auto e = simd::exp<A>(simd::load<A>(x) - top);
        simd::store<A>(x, e);
        sum[r] = sum[r] + e;
      }
    weight[h] = simd::broadcast<A>(1 / (simd::sum_halving<A>(sum) * static_cast<float>(job.group)));
  }

  for (std::size_t s = 0; s < n; s += lanes) {
    auto total = simd::load<A>(job.notes + s);
    for (std::size_t h = 0; h < Heads; ++h)
      total = simd::fma<A>(simd::load<A>(noisy + h * n + s), weight[h], total);
    simd::store<A>(job.notes + s, total);
  }
}

}  // namespace detail

/// Adds what `job` says to its notes. O(heads · slots).
template <class A = simd::native>
void add_noisy_softmax(const noisy_softmax& job) {
  switch (job.heads) {
    case 4:
      return detail::add_noisy_softmax<A, 4>(job);
    case 2:
      return detail::add_noisy_softmax<A, 2>(job);
    default:
      return detail::add_noisy_softmax<A, 1>(job);
  }
}

}  // namespace weir::inline WEIR_TARGET::cpu
