// The latest tokens of a stream, and a way back.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// The last `size` tokens that were pushed: a ring, in memory that someone else owns. It also holds
/// those that left the window lately, so that they are back in it when later ones are taken back.
class token_window {
 public:
  /// A window of no tokens, which takes none.
  token_window() = default;
  /// Elements of memory for `size` tokens of which `max_taken_back` may be taken back.
  static constexpr std::size_t room(std::size_t size, std::size_t max_taken_back) {
    return size + max_taken_back;
  }
  /// `memory` has room(size, max_taken_back) elements; size > 0.
  token_window(std::span<token_id> memory, std::size_t size) : ring_(memory), size_(size) {}

  /// O(1).
  void push(token_id id) {
    ring_[next_] = id;
    next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
    held_ = std::min(held_ + 1, ring_.size());
    revocable_ = std::min(revocable_ + 1, ring_.size() - size_);
  }

  /// Undoes the last n pushes. Throws error::bad_call, and undoes none, if n is more than
  /// `revocable`. O(1).
  void take_back(std::size_t n) {
    error::require<error::bad_call>(n <= revocable_, "take_back: ", n,
                                    " tokens (expected at most the last ", revocable_,
                                    "; room was taken for ", ring_.size() - size_, ")");
    next_ = next_ >= n ? next_ - n : next_ + ring_.size() - n;
    held_ -= n;
    revocable_ -= n;
  }
  /// Pushes that can be undone now.
  std::size_t revocable() const { return revocable_; }

  void reset() { next_ = held_ = revocable_ = 0; }

  /// The tokens of the window, in two parts: the older ones, then the others.
  std::array<std::span<const token_id>, 2> tokens() const {
    const std::size_t n = std::min(held_, size_);
    const std::size_t late = std::min(n, next_), early = n - late;
    return {ring_.last(early), ring_.subspan(next_ - late, late)};
  }

 private:
  std::span<token_id> ring_;
  std::size_t size_ = 0;
  std::size_t next_ = 0;       // where the next token goes
  std::size_t held_ = 0;       // tokens in the ring: all so far, or at least size_ + revocable_
  std::size_t revocable_ = 0;  // at most ring_.size() − size_
};

}  // namespace weir::inline WEIR_TARGET
