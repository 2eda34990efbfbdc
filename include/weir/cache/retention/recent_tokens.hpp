// What was told of the tokens that came since the last boundary.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/eviction/slots_view.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

class recent_tokens {
 public:
  /// Policies ask at boundaries, of tokens no older than a cadence; the token that makes the
  /// boundary run may have been told of before.
  recent_tokens(arena_plan& plan, std::size_t cadence)
      : block_(plan.reserve<token_info>(cadence + 1)) {}
  void bind(const arena& memory) { ring_ = memory[block_]; }
  void reset(std::uint64_t first) {
    std::fill(ring_.begin(), ring_.end(), token_info{});
    told_ = first;
  }

  /// What does not lie in the memory becomes another's.
  void copy_from(const recent_tokens& other) { told_ = other.told_; }

  const token_info& operator[](std::uint64_t index) const { return ring_[index % ring_.size()]; }
  void set_kind(std::uint64_t index, std::uint8_t kind) {
    token_info& a = ring_[index % ring_.size()];
    if (told_ <= index) a.log_probability = 0;
    a.kind = kind;
  }
  /// Log-probabilities are told in stream order.
  void tell(std::uint64_t index, float log_probability) {
    error::require<error::bad_call>(index == told_, "tell_log_probability: token ", index,
                                    " (expected ", told_, ": each token once, in order)");
    ring_[index % ring_.size()].log_probability = log_probability;
    told_ = index + 1;
  }
  void forget(std::uint64_t index) { told_ = std::min(told_, index); }
  std::uint64_t told_until() const { return told_; }

 private:
  arena_plan::block<token_info> block_;
  std::span<token_info> ring_;  // [index mod (cadence + 1)]
  std::uint64_t told_ = 0;
};

}  // namespace weir::inline WEIR_TARGET
