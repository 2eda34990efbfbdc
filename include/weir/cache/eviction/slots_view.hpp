// What a policy sees of one KV head at a boundary: plain numbers, whatever the codec.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/function_ref.hpp>
#include <weir/core/index.hpp>

namespace weir {

/// One layer's KV head at a boundary. Valid for the duration of the call it is passed to.
class slots_view {
 public:
  /// Decodes the key or value `[head_dim]` that lies in a slot.
  using reader = function_ref<void(slot, float*)>;

  /// `order` `[entry]`: slots of the entries in stream order. `index` `[slot]`.
  slots_view(std::size_t layer, std::size_t kv_head, std::span<const std::uint32_t> order,
             std::span<const std::uint64_t> index, std::span<float> scratch, reader key,
             reader value)
      : layer_(layer),
        kv_head_(kv_head),
        order_(order),
        index_(index),
        scratch_(scratch),
        key_(key),
        value_(value) {}

  std::size_t layer() const { return layer_; }
  std::size_t kv_head() const { return kv_head_; }

  /// Entries in the cache, claimed or not.
  std::size_t size() const { return order_.size(); }
  /// The i-th oldest entry.
  slot at(std::size_t i) const { return {order_[i]}; }
  /// How many tokens of the stream came before this one.
  stream_index index(slot s) const { return {index_[s.value]}; }

  /// The key `[head_dim]` as the cache stores it: rotated at its stream index under original
  /// positions, unrotated under within-cache ones. Valid until the next key or value is read.
  std::span<const float> key(slot s) const {
    key_(s, scratch_.data());
    return scratch_;
  }
  /// The value `[head_dim]`. Valid until the next key or value is read.
  std::span<const float> value(slot s) const {
    value_(s, scratch_.data());
    return scratch_;
  }
  /// Euclidean norm of the key, the same under every position policy up to rounding. O(head_dim).
  float key_norm(slot s) const { return norm(key(s)); }
  /// Euclidean norm of the value. O(head_dim).
  float value_norm(slot s) const { return norm(value(s)); }

 private:
  static float norm(std::span<const float> x) {
    double sum = 0;
    for (const float v : x) sum += double{v} * double{v};
    return static_cast<float>(std::sqrt(sum));
  }

  std::size_t layer_, kv_head_;
  std::span<const std::uint32_t> order_;
  std::span<const std::uint64_t> index_;
  std::span<float> scratch_;  // [head_dim]
  reader key_, value_;
};

/// What is still to be had at a boundary, for members that choose by themselves.
class claims {
 public:
  claims(const slots_view& view, std::span<std::uint8_t> taken, std::size_t budget)
      : view_(view), taken_(taken), left_(budget) {}

  const slots_view& view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  /// True if an earlier member or this one claimed the i-th oldest entry.
  bool is_taken(std::size_t i) const { return taken_[i] != 0; }
  /// Entries this member may still take.
  std::size_t left() const { return left_; }
  /// Claims the i-th oldest entry. False if it is taken or the budget is spent.
  bool take(std::size_t i) {
    if (left_ == 0 || is_taken(i)) return false;
    taken_[i] = 1;
    --left_;
    return true;
  }

 private:
  const slots_view& view_;
  std::span<std::uint8_t> taken_;  // [entry], in stream order
  std::size_t left_;
};

}  // namespace weir
