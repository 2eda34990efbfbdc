// One KV head at a boundary, filled in by hand: what a policy's hooks see, without a cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <vector>

#include <weir/cache/eviction/concept.hpp>

namespace weir::inline WEIR_TARGET::testing {

/// Equal to five decimals, relative to what is expected where that is large.
inline bool near(double found, double expected) {
  return std::fabs(found - expected) <= 1e-5 * std::max(1.0, std::fabs(expected));
}

/// Entry i lies in slot `slot_of[i]`. Slots without an entry hold keys that are not numbers.
class hand_head {
 public:
  template <class Policy>
  hand_head(const Policy& policy, std::size_t head_dim, std::vector<std::vector<float>> keys,
            std::vector<std::vector<float>> values = {}, std::vector<std::uint32_t> slot_of = {})
      : order_(std::move(slot_of)) {
    shape.layers = shape.q_heads = shape.kv_heads = 1;
    shape.head_dim = head_dim;
    const std::size_t n = keys.size();
    if (order_.empty()) {
      order_.resize(n);
      std::iota(order_.begin(), order_.end(), 0u);
    }
    std::size_t slots = 0;
    for (const auto s : order_) slots = std::max(slots, (s / tile_lanes + 1) * tile_lanes);
    key_.assign(slots, std::vector<float>(head_dim, std::numeric_limits<float>::quiet_NaN()));
    value_ = key_;
    index_.assign(slots, 0);
    for (std::size_t i = 0; i < n; ++i) {
      key_[order_[i]] = keys[i];
      value_[order_[i]] = values.empty() ? std::vector<float>(head_dim) : values[i];
      index_[order_[i]] = i;
    }
    boundary = n;
    cadence = n;
    scratch_.assign(2 * head_dim, 0);
    notes_.assign(notes_of(policy, shape) * slots, 0);
    state_.assign(state_of(policy, shape), 0);
    arrays_.assign(scratch_of(policy, shape) * slots, std::numeric_limits<float>::quiet_NaN());
  }
  hand_head(const hand_head&) = delete;

  kv_shape shape;
  std::uint64_t first_index = 0, boundary = 0;
  std::size_t cadence = 1;

  slots_view view() {
    return {{&shape, 0, 0, first_index, boundary, cadence, order_, index_, scratch_},
            access_,
            {notes_, key_.size(), state_, arrays_}};
  }
  slot at(std::size_t i) const { return {order_[i]}; }
  std::vector<std::uint64_t>& indices() { return index_; }
  std::vector<float>& state() { return state_; }
  const std::vector<float>& key(std::size_t i) const { return key_[order_[i]]; }
  const std::vector<float>& value(std::size_t i) const { return value_[order_[i]]; }

  /// Describes every entry, told nothing.
  template <class Policy>
  void on_append(const Policy& policy) {
    for (const auto s : order_) policy.on_append(view(), slot{s}, token_info{});
  }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::uint64_t> index_;
  std::vector<std::vector<float>> key_, value_;
  std::vector<float> scratch_, notes_, state_, arrays_;

  static void copy(const std::vector<float>& from, float* to) {
    std::copy(from.begin(), from.end(), to);
  }
  using vectors = std::vector<std::vector<float>>;
  struct read_key {
    hand_head* h;
    void operator()(slot s, float* out) const { copy(h->key_[s.value], out); }
  } key_reader_{this};
  struct read_value {
    hand_head* h;
    void operator()(slot s, float* out) const { copy(h->value_[s.value], out); }
  } value_reader_{this};
  struct dot_all {
    hand_head* h;
    void operator()(const float* v, std::size_t n, float* out) const {
      const std::size_t d = h->shape.head_dim;
      for (std::size_t i = 0; i < n; ++i)
        for (const auto& k : h->key_)
          *out++ = std::inner_product(k.begin(), k.end(), v + i * d, 0.f);
    }
  } dots_{this};
  struct weigh_all {
    hand_head* h;
    void operator()(const float* w, float* out) const {
      std::fill_n(out, h->shape.head_dim, 0.0f);
      for (std::size_t s = 0; s < h->key_.size(); ++s)
        for (std::size_t x = 0; x < h->shape.head_dim && w[s] != 0; ++x)
          out[x] += w[s] * h->key_[s][x];
    }
  } weighted_{this};
  struct find_similar {
    hand_head* h;
    void operator()(std::span<const slot> of, const float* inverse, similar_key* out) const {
      for (const slot s : of) {
        const auto& sought = h->key_[s.value];
        similar_key best{{0}, -2};
        for (std::uint32_t j = 0; j < h->key_.size(); ++j) {
          if (std::isnan(inverse[j])) continue;
          const float cosine =
              std::inner_product(sought.begin(), sought.end(), h->key_[j].begin(), 0.0f) *
              inverse[j] * inverse_norm(sought);
          if (cosine > best.cosine + 1e-6f) best = {{j}, cosine};
        }
        *out++ = best;
      }
    }
  } similar_{this};
  struct write_entry {
    hand_head* h;
    void operator()(slot s, const float* k, const float* v) const {
      h->key_[s.value].assign(k, k + h->shape.head_dim);
      h->value_[s.value].assign(v, v + h->shape.head_dim);
    }
  } writer_{this};
  entry_access access_{key_reader_, value_reader_, dots_, weighted_, similar_, writer_};
};

/// Scores of a layer's heads, nothing taken.
struct hand_scores {
  std::vector<float> score;
  std::vector<std::uint8_t> taken;
  std::vector<std::size_t> entries;

  explicit hand_scores(const std::vector<std::vector<float>>& heads) {
    for (const auto& h : heads) {
      entries.push_back(h.size());
      score.insert(score.end(), h.begin(), h.end());
    }
    taken.assign(score.size(), 0);
  }
  /// Heads have to be equally long.
  head_scores view() const { return {score.data(), taken.data(), entries[0], entries}; }
};

}  // namespace weir::inline WEIR_TARGET::testing
