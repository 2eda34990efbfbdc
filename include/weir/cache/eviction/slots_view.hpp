// What a policy sees of one KV head at a boundary: plain numbers, whatever the codec.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/eviction/entry_memory.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/core/wide_sum.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/unit_keys.hpp>

namespace weir::inline WEIR_TARGET {

/// What was told of a token when it came.
struct token_info {
  float log_probability = 0;  ///< under the logits before it, nats; with signals::log_probability
  std::uint8_t kind = 0;      ///< row::kind
};

/// How a view reads and rewrites what lies in slots. Keys `[head_dim]` are as the cache stores
/// them.
struct entry_access {
  function_ref<void(slot, float*)> key;
  function_ref<void(slot, float*)> value;
  /// Dot products of all slots' keys with `n` vectors `[n, head_dim]`: `out` `[n, slot]`.
  function_ref<void(const float* vectors, std::size_t n, float* out)> dots;
  /// Σ weight[slot] · key over the slots whose weight is not 0: `out` `[head_dim]`.
  function_ref<void(const float* weight, float* out)> weighted_keys;
  /// See slots_view::most_similar.
  function_ref<void(std::span<const slot> of, const float* inverse_norm, similar_key* out)>
      most_similar;
  function_ref<void(slot, const float* key, const float* value)> write;
};

/// Dot product of vectors of equal length. O(elements).
inline double dot(std::span<const float> x, std::span<const float> y) {
  return wide_sum(x.size(), [x, y](std::size_t i) { return double{x[i]} * double{y[i]}; });
}
/// Euclidean norm. O(elements).
inline float norm(std::span<const float> x) { return static_cast<float>(std::sqrt(dot(x, x))); }
/// 1 / norm, so that a cosine is a product; 0 of what has no direction. O(elements).
inline float inverse_norm(std::span<const float> x) {
  const float length = norm(x);
  return length > 0 ? 1 / length : 0;
}

/// One layer's KV head at a boundary. Valid for the duration of the call it is passed to.
class slots_view {
 public:
  /// What is the same for every policy.
  struct record {
    const kv_shape* shape = nullptr;
    std::size_t layer = 0, kv_head = 0;
    std::uint64_t first_index = 0;         ///< of the stream
    std::uint64_t boundary = 0;            ///< stream index of the next token
    std::size_t cadence = 1;               ///< tokens between boundaries
    std::span<const std::uint32_t> order;  ///< [entry] slots in stream order
    std::span<const std::uint64_t> index;  ///< [slot] of those in use
    std::span<float> scratch;              ///< [2, head_dim]
  };

  slots_view(const record& head, const entry_access& access, const entry_memory& memory)
      : head_(head), access_(&access), memory_(memory.over(head.index.size())) {}

  const kv_shape& shape() const { return *head_.shape; }
  std::size_t layer() const { return head_.layer; }
  std::size_t kv_head() const { return head_.kv_head; }
  /// Stream index of the stream's first token, and of the token that comes next.
  stream_index first_index() const { return {head_.first_index}; }
  stream_index boundary() const { return {head_.boundary}; }
  std::size_t cadence() const { return head_.cadence; }

  /// Entries in the cache, selected or not.
  std::size_t size() const { return head_.order.size(); }
  /// The i-th oldest entry.
  slot at(std::size_t i) const { return {head_.order[i]}; }
  /// How many tokens of the stream came before this one.
  stream_index index(slot s) const { return {head_.index[s.value]}; }
  /// Tokens that have come since this one, itself included: rows that could read it.
  std::uint64_t age(slot s) const { return head_.boundary - index(s).value; }

  /// The key `[head_dim]` as the cache stores it: rotated at its stream index under original
  /// positions, unrotated under within-cache ones. Valid until the next key is read.
  std::span<const float> key(slot s) const {
    const auto out = head_.scratch.first(shape().head_dim);
    access_->key(s, out.data());
    return out;
  }
  /// The value `[head_dim]`. Valid until the next value is read.
  std::span<const float> value(slot s) const {
    const auto out = head_.scratch.last(shape().head_dim);
    access_->value(s, out.data());
    return out;
  }
  /// Euclidean norm of the key, the same under every position policy up to rounding. O(head_dim).
  float key_norm(slot s) const { return norm(key(s)); }
  /// 1 / norm of the key, so that a cosine is a product; 0 of a key without direction. O(head_dim).
  float inverse_key_norm(slot s) const { return inverse_norm(key(s)); }
  /// Euclidean norm of the value. O(head_dim).
  float value_norm(slot s) const { return norm(value(s)); }
  /// Dot products of the keys of all slots with `vectors` `[n, head_dim]`: `out` `[n, slots()]`,
  /// whatever lies in a slot. A tile at a time, at the speed of the attention kernel.
  void dots(std::span<const float> vectors, std::span<float> out) const {
    access_->dots(vectors.data(), vectors.size() / shape().head_dim, out.data());
  }
  /// Σ weight[slot] · key, over the slots whose weight is not 0: `weight` `[slots()]`, `out`
  /// `[head_dim]`. A tile at a time.
  void weighted_keys(std::span<const float> weight, std::span<float> out) const {
    access_->weighted_keys(weight.data(), out.data());
  }
  /// Of each entry in `of`, at most compared_at_once, the one whose key is most like its own, among
  /// those that have a number in `inverse_norm` `[slots()]`, 1 / norm of their keys; the others
  /// have NaN. There has to be one, and of equal ones the one in the lowest slot is meant. Cosines
  /// are right to about 1e-5.
  void most_similar(std::span<const slot> of, std::span<const float> inverse_norm,
                    std::span<similar_key> out) const {
    access_->most_similar(of, inverse_norm.data(), out.data());
  }
  /// Replaces an entry's key and value `[head_dim]`: for evict handlers.
  void rewrite(slot s, std::span<const float> key, std::span<const float> value) const {
    access_->write(s, key.data(), value.data());
  }

  /// Slots that notes and arrays run over: all that are in use, in whole tiles.
  std::size_t slots() const { return memory_.slots; }
  /// The policy's k-th note of an entry.
  float& note(slot s, std::size_t k = 0) const { return memory_.note(k)[s.value]; }
  /// The policy's k-th note of every entry `[slot]`; 0 where there is none, unless the policy wrote
  /// something else since the last boundary.
  std::span<float> notes(std::size_t k = 0) const { return memory_.note(k); }
  /// The policy's floats for this layer and KV head.
  std::span<float> state() const { return memory_.state; }
  /// The policy's k-th array to work in `[slots()]`; consecutive ones lie one behind the other.
  std::span<float> scratch(std::size_t k = 0) const { return memory_.array(k); }
  /// All of the policy's arrays from the k-th on.
  std::span<float> scratch_from(std::size_t k) const {
    return memory_.scratch.subspan(k * memory_.slots);
  }

 private:
  record head_;
  const entry_access* access_;
  entry_memory memory_;
};

/// A policy's scores in every KV head that decides with this one: one head, or a layer's.
class head_scores {
 public:
  /// `score` `[head, stride]`, of which the first `entries[head]` count, in stream order; `taken`
  /// likewise.
  head_scores(const float* score, const std::uint8_t* taken, std::size_t stride,
              std::span<const std::size_t> entries)
      : score_(score), taken_(taken), stride_(stride), entries_(entries) {}

  std::size_t heads() const { return entries_.size(); }
  /// Entries of a head.
  std::size_t size(std::size_t head) const { return entries_[head]; }
  /// Scores `[entry]` of a head, in stream order.
  std::span<const float> operator[](std::size_t head) const {
    return {score_ + head * stride_, entries_[head]};
  }
  /// True if an earlier policy selected the i-th oldest entry of a head.
  bool is_taken(std::size_t head, std::size_t i) const { return taken_[head * stride_ + i] != 0; }

 private:
  const float* score_;
  const std::uint8_t* taken_;
  std::size_t stride_;
  std::span<const std::size_t> entries_;
};

/// What is still to be had at a boundary, for policies that choose by themselves.
class selection {
 public:
  selection(const slots_view& view, std::span<std::uint8_t> taken, std::size_t budget)
      : view_(view), taken_(taken), left_(budget) {}

  /// The deciding KV head; of policies that decide by layer, the first.
  const slots_view& view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  /// True if an earlier policy or this one selected the i-th oldest entry.
  bool is_taken(std::size_t i) const { return taken_[i] != 0; }
  /// Entries this policy may still take.
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

}  // namespace weir::inline WEIR_TARGET
