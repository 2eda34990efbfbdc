// Trigonometric scores: the entries that queries near their usual centre would attend to from where
// the stream will soon be. TriAttention, arXiv 2604.04921, section 4.
//
// Before rotation, queries of a head lie around a centre, the same for all text: see query_centres.
// With Q the centre of pair f and A the mean magnitude, k the unrotated key at p, ω the speed of
// the pair and t the coming position, a query head scores
//
//   Σ_f |Q||k| mean_δ cos(ω (t − p + δ) + arg(Q k*))  +  Σ_f (A − |Q|) |k|,    δ = 1, 2, 4 …
//
// The first sum is one dot product of the key as it lies in the cache, rotated, with
// Q mean_δ e^{iω(t + δ)}. The second never changes and is taken once.
//
// Deviations. Of the authors' ways to combine heads this is that of each layer and KV head, by the
// largest or the mean of its query heads' scores, not put on one scale first (their default). The
// list decides at boundaries, from the start of the stream; they leave the prompt alone, which
// `sinks` of its length ahead of this policy do here. Offsets are averaged; they have the largest,
// too, which costs each offset a dot product. Their noise of 1e-6 against ties is left out: the
// older token wins. Whether the paper's tables put heads on one scale is not verified. One set of
// tokens for all layers (their default), or for all layers of a KV head, heads left out, and scaled
// rotations are not offered.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/query_centres.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/observation_kernels.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/kernels/row_kernels.hpp>

namespace weir::inline WEIR_TARGET {

enum class over_queries : std::uint8_t { max, mean };

class trigonometric {
 public:
  std::size_t budget = 0;
  static constexpr bool needs_original_positions = true;
  static constexpr signals needs = signals::new_keys;
  static constexpr std::size_t heads_at_once = 4;  ///< query heads looked at together

  /// `offsets`: powers of 2 from 1 on; 17 are the authors'. Throws error::bad_config for none, and
  /// for shapes that the centres were not made for, once a cache asks.
  trigonometric(std::size_t entries, std::shared_ptr<const query_centres> centres,
                over_queries by = over_queries::max, std::size_t offsets = 17)
      : budget(entries), centres_(std::move(centres)), by_(by) {
    error::require<error::bad_config>(offsets > 0,
                                      "trigonometric: 0 offsets (expected at least 1)");
    if (centres_ == nullptr) return;  // refused by validate
    const std::size_t heads = centres_->layers() * centres_->q_heads();
    centre_.resize(heads * 2 * centres_->pairs());
    spread_.resize(heads * room());
    for (std::size_t i = 0; i < heads; ++i)
      centres_->for_each_pair([&](std::size_t f, std::size_t a, std::size_t b) {
        const std::size_t layer = i / centres_->q_heads(), head = i % centres_->q_heads();
        const std::complex<float> q = centres_->centre(layer, head, f);
        float* const centre = &centre_[i * 2 * centres_->pairs()];
        centre[a] = q.real(), centre[b] = q.imag();
        spread_[i * room() + f] = centres_->magnitude(layer, head, f) - magnitude_of(q);
      });
    angles_ = rope_angles(centres_->rope());
    for (std::size_t f = 0; f < angles_.pairs(); ++f) {
      double cos = 0, sin = 0;
      position offset{1};
      for (std::size_t i = 0; i < offsets; ++i, offset.value *= 2) {
        const auto [c, s] = elementary::cos_sin_of_turn(angles_.phase(f, offset));
        cos += c, sin += s;
      }
      const auto n = static_cast<double>(offsets);
      ahead_.emplace_back(static_cast<float>(cos / n), static_cast<float>(sin / n));
    }
  }

  void validate(const kv_shape& shape) const {
    error::require<error::bad_config>(centres_ != nullptr && centres_->fits(shape),
                                      "trigonometric: query centres of another model (expected "
                                      "its layers, query heads, head_dim and rope)");
  }
  std::size_t notes(const kv_shape& shape) const { return shape.group(); }
  std::size_t scratch(const kv_shape& shape) const { return shape.group(); }

  /// What never changes, for each query head.
  void on_append(const slots_view& view, slot s, const token_info&) const {
    const std::span<const float> key = view.key(s);
    float squares[max_head_dim / 2] = {};
    centres_->for_each_pair([&](std::size_t f, std::size_t a, std::size_t b) {
      squares[f] = key[a] * key[a] + key[b] * key[b];
    });
    const std::size_t g = view.shape().group();
    const float* const spread = &spread_[first_head(view) * room()];
    for (std::size_t h = 0; h < g; h += heads_at_once) {
      const std::size_t n = std::min(heads_at_once, g - h);
      float sum[heads_at_once];
      kernels<observation_kernels>().length_dots(squares, spread + h * room(), n, room(), sum);
      for (std::size_t i = 0; i < n; ++i) view.note(s, h + i) = sum[i];
    }
  }

  void score_all(const slots_view& view, std::span<float> score) const {
    const std::size_t g = view.shape().group(), d = view.shape().head_dim;
    float cos[max_head_dim], sin[max_head_dim];
    turn_to(view.boundary(), cos, sin);
    for (std::size_t h = 0; h < g; h += heads_at_once) {
      const std::size_t n = std::min(heads_at_once, g - h);
      float vectors[heads_at_once * max_head_dim];
      for (std::size_t i = 0; i < n; ++i)
        kernels<row_kernels>().rotate(centres_->rope(), &centre_[(first_head(view) + h + i) * d],
                                      vectors + i * d, d, cos, sin, 1.0f);
      view.dots({vectors, n * d}, view.scratch_from(h));
    }
    // Slot by slot, whatever lies there, so that many are done at a time.
    const std::span<float> all = view.scratch();
    for (std::size_t h = 0; h < g; ++h) {
      const float* const dot = view.scratch(h).data();
      const float* const note = view.notes(h).data();
      if (h == 0)
        for (std::size_t s = 0; s < all.size(); ++s) all[s] += note[s];
      else if (by_ == over_queries::max)
        for (std::size_t s = 0; s < all.size(); ++s) all[s] = std::max(all[s], dot[s] + note[s]);
      else
        for (std::size_t s = 0; s < all.size(); ++s) all[s] += dot[s] + note[s];
    }
    const float share = by_ == over_queries::max ? 1.0f : 1.0f / static_cast<float>(g);
    for (std::size_t i = 0; i < view.size(); ++i) score[i] = all[view.at(i).value] * share;
  }

 private:
  static constexpr std::size_t pairs_at_once = 16;  // pairs added side by side, on any width
  static_assert(max_head_dim / 2 % pairs_at_once == 0);

  /// The factors of mean_δ e^{iω(t + δ)}, as `rotate` kernels have them.
  void turn_to(stream_index t, float* cos, float* sin) const {
    for (std::size_t f = 0; f < angles_.pairs(); ++f) {
      const auto [re, im] = angles_.cos_sin(f, position{t.value});
      angles_.set_factors(f, re * ahead_[f].real() - im * ahead_[f].imag(),
                          re * ahead_[f].imag() + im * ahead_[f].real(), cos, sin);
    }
  }
  /// Pairs of a query head, rounded up.
  std::size_t room() const {
    return (centres_->pairs() + pairs_at_once - 1) / pairs_at_once * pairs_at_once;
  }
  /// The first query head of a KV head, counted through all layers.
  static std::size_t first_head(const slots_view& view) {
    return view.layer() * view.shape().q_heads + view.kv_head() * view.shape().group();
  }

  static float magnitude_of(std::complex<float> q) {
    const double x = q.real(), y = q.imag();
    return static_cast<float>(std::sqrt(x * x + y * y));
  }

  std::shared_ptr<const query_centres> centres_;
  over_queries by_;
  rope_angles angles_;
  std::vector<float> centre_;               // [layer, q_head, head_dim] Q
  std::vector<float> spread_;               // [layer, q_head, pair and zeros] A − |Q|
  std::vector<std::complex<float>> ahead_;  // [pair that turns] mean of e^{iωδ} over the offsets
};

static_assert(eviction_policy<trigonometric> && has_on_append<trigonometric>);

}  // namespace weir::inline WEIR_TARGET
