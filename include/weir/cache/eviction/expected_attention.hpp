// Expected attention: the entries that coming rows should attend to, if their queries resemble
// those seen so far. arXiv 2510.00636 as far as we know, and its authors' code.
//
// Unrotated queries have mean μ and covariance Σ in each query head. Turned by R, the mean rotation
// over the next `ahead` positions, they give entry i the expected weight exp(z_i),
//
//   z_i = s k_i·Rμ + s²/2 k_i·RΣRᵀk_i,    s the scale of attention, 1/√d as a rule,
//
// whose softmax over entries, mean over a KV head's query heads, times the length of the value is
// the score. The stream's first tokens are untypical: they count in neither the statistics nor the
// softmax, and rank first, as in the authors' code.
//
// Deviations. The authors compress once, behind the prompt, by the queries of the prompt; here that
// happens again at every boundary, by all queries so far (the mean over the last 2^24, roughly).
// They add an ε to the softmax that is 0 by default, and so it is here.
//
// Costs. Σ is head_dim² floats and as many multiply-adds a row in each query head, and a boundary
// reads it once for each entry; `covariance = false`, an option of the authors' too, is z without
// its second term, at a boundary's cost of one more row of attention.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

struct expected_attention {
  std::size_t budget = 0;
  std::size_t first = 4;    ///< untypical tokens
  std::size_t ahead = 512;  ///< positions
  bool covariance = true;
  static constexpr signals needs = signals::queries;
  static constexpr bool needs_original_positions = true;

  void validate(const kv_shape&) const {
    error::require<error::bad_config>(ahead > 0,
                                      "expected_attention.ahead: 0 (expected at least 1)");
  }
  std::size_t notes(const kv_shape&) const { return 1; }  // length of the value
  /// Rows seen; then the mean and the covariance of each query head.
  std::size_t state(const kv_shape& s) const { return 1 + s.group() * (s.head_dim + square(s)); }
  std::size_t scratch(const kv_shape& s) const { return s.group() + (covariance ? 2 : 0) * block; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    view.note(s) = view.value_norm(s);
  }

  void observe(const observed_row& row) const {
    if (row.index().value - row.first_index().value < first) return;
    const std::size_t d = row.shape().head_dim;
    float* part = row.state().data();
    const float share = 1 / (*part += 1);  // stays 2^-24 in the end: a sliding mean
    ++part;
    for (std::size_t h = 0; h < row.shape().group(); ++h) {
      float off[max_head_dim];
      for (std::size_t i = 0; i < d; ++i) off[i] = row.query(h)[i] - part[i];
      for (std::size_t i = 0; i < d; ++i) part[i] += share * off[i];
      part += d;
      if (!covariance) continue;
      for (std::size_t i = 0; i < d; ++i, part += d)
        for (std::size_t j = 0; j < d; ++j)
          part[j] += share * ((1 - share) * off[i] * off[j] - part[j]);
    }
  }

  void score_all(const slots_view& view, std::span<float> score) const {
    const kv_shape& shape = view.shape();
    const std::size_t d = shape.head_dim, g = shape.group(), n = view.slots();
    float turn[2][max_head_dim];  // R, as `rotate` kernels have it
    mean_rotation(shape, view.boundary().value, turn);
    const auto rotate = [&](const float* in, float* out) {
      std::copy_n(in, d, out);
      for (std::size_t i = 0; i < shape.rope.dims / 2; ++i) {
        const auto [a, b] = shape.rope.elements(i);
        out[a] = turn[0][i] * in[a] - turn[1][i] * in[b];
        out[b] = turn[1][i] * in[a] + turn[0][i] * in[b];
      }
    };
    const float scale = shape.score_scale();
    const std::size_t stride = d + square(shape);
    const float* const statistics = view.state().data() + 1;
    for (std::size_t h = 0; h < g; ++h) {
      float mean[max_head_dim];
      rotate(statistics + h * stride, mean);
      for (std::size_t i = 0; i < d; ++i) mean[i] *= scale;
      view.dots({mean, d}, view.scratch(h));
    }
    // Elements of the keys are their products with unit vectors, a block of elements at a time.
    for (std::size_t from = 0; covariance && from < d; from += block) {
      const std::size_t rows = std::min(block, d - from);
      float vectors[block * max_head_dim];
      std::fill_n(vectors, rows * d, 0.0f);
      for (std::size_t r = 0; r < rows; ++r) vectors[r * d + from + r] = 1;
      const std::span<float> elements = view.scratch_from(g),
                             products = view.scratch_from(g + block);
      view.dots({vectors, rows * d}, elements);
      for (std::size_t h = 0; h < g; ++h) {
        for (std::size_t r = 0; r < rows; ++r) {
          float unit[max_head_dim] = {}, back[max_head_dim], half[max_head_dim];
          unit[from + r] = 0.5f * scale * scale;
          transpose(shape, turn);
          rotate(unit, back);  // Rᵀ e
          transpose(shape, turn);
          std::fill_n(half, d, 0.0f);
          const float* const sigma = statistics + h * stride + d;
          for (std::size_t i = 0; i < d; ++i)
            if (back[i] != 0)
              for (std::size_t j = 0; j < d; ++j) half[j] += back[i] * sigma[i * d + j];
          rotate(half, vectors + r * d);  // R Σ Rᵀ e
        }
        view.dots({vectors, rows * d}, products);
        float* const z = view.scratch(h).data();
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t s = 0; s < n; ++s) z[s] += elements[r * n + s] * products[r * n + s];
      }
    }
    combine(view, score);
  }

 private:
  static constexpr std::size_t block = 8;

  std::size_t square(const kv_shape& s) const { return covariance ? s.head_dim * s.head_dim : 0; }

  /// Cosines and sines of pairs, mean over the positions from `at` on: a geometric series.
  void mean_rotation(const kv_shape& shape, std::uint64_t at,
                     float (&turn)[2][max_head_dim]) const {
    const auto count = static_cast<double>(ahead);
    for (std::size_t i = 0; i < shape.rope.dims / 2; ++i) {
      const double angle = elementary::pow(
          shape.rope.base, -2.0 * static_cast<double>(i) / static_cast<double>(shape.rope.dims));
      const auto sine = [](double x) { return elementary::cos_sin(x).sin; };
      const double length = sine(count * angle / 2) / (count * sine(angle / 2));
      const auto [c, s] = elementary::cos_sin((static_cast<double>(at) + (count - 1) / 2) * angle);
      turn[0][i] = static_cast<float>(length * c);
      turn[1][i] = static_cast<float>(length * s);
    }
  }
  static void transpose(const kv_shape& shape, float (&turn)[2][max_head_dim]) {
    for (std::size_t i = 0; i < shape.rope.dims / 2; ++i) turn[1][i] = -turn[1][i];
  }

  /// From z of each query head to the score.
  void combine(const slots_view& view, std::span<float> score) const {
    std::size_t begin = 0;
    while (begin < view.size() &&
           view.index(view.at(begin)).value - view.first_index().value < first)
      score[begin++] = std::numeric_limits<float>::infinity();
    std::fill(score.begin() + static_cast<std::ptrdiff_t>(begin), score.end(), 0.0f);
    const std::size_t g = view.shape().group();
    for (std::size_t h = 0; h < g; ++h) {
      const std::span<float> z = view.scratch(h);
      float most = -std::numeric_limits<float>::infinity();
      for (std::size_t i = begin; i < view.size(); ++i) most = std::max(most, z[view.at(i).value]);
      // Slot by slot, whatever lies there, so that many are done at a time.
      using arch = simd::native;
      const auto top = simd::broadcast<arch>(most);
      for (std::size_t s = 0; s < z.size(); s += simd::lanes<arch>)
        simd::store<arch>(&z[s], simd::exp<arch>(simd::load<arch>(&z[s]) - top));
      double sum = 0;
      for (std::size_t i = begin; i < view.size(); ++i) sum += z[view.at(i).value];
      const auto weight = static_cast<float>(1 / (sum * static_cast<double>(g)));
      for (std::size_t i = begin; i < view.size(); ++i) score[i] += weight * z[view.at(i).value];
    }
    for (std::size_t i = begin; i < view.size(); ++i) score[i] *= view.note(view.at(i));
  }
};

static_assert(eviction_policy<expected_attention> && observing<expected_attention>);

}  // namespace weir::inline WEIR_TARGET
