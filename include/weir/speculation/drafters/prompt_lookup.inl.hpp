// Bodies of speculation/drafters/prompt_lookup.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE prompt_lookup::prompt_lookup::state::state(const prompt_lookup& settings,
                                                       const draft_setup& setup)
    : shortest_((required_bytes(settings, setup), settings.shortest)),
      longest_(settings.longest),
      slots_(slots(settings)),
      history_(settings.history) {
  latest_.resize(lengths(settings) * slots_);
  earlier_.resize(lengths(settings) * history_.size());
}

WEIR_INLINE std::size_t prompt_lookup::prompt_lookup::state::required_bytes(const prompt_lookup& s,
                                                                            const draft_setup&) {
  const std::size_t lengths = state::lengths(checked(s));
  return checked_sum(
      checked_product(s.history, sizeof(token_id)),
      checked_product(lengths, checked_sum(slots(s), s.history), sizeof(std::uint64_t)));
}

WEIR_INLINE const prompt_lookup& prompt_lookup::prompt_lookup::state::checked(
    const prompt_lookup& s) {
  using error::bad_config, error::require;
  require<bad_config>(s.shortest > 0 && s.shortest <= s.longest && s.longest <= 64,
                      "prompt_lookup: n-grams of ", s.shortest, " to ", s.longest,
                      " tokens (expected 1 <= shortest <= longest <= 64)");
  require<bad_config>(s.history > s.longest, "prompt_lookup.history: ", s.history,
                      " (expected more than longest = ", s.longest, ")");
  return s;
}

WEIR_INLINE void prompt_lookup::prompt_lookup::state::append(std::span<const token_id> said) {
  for (const token_id token : said) {
    // What ends one token ago is found from now on: never the newest n-gram itself.
    for (std::size_t n = shortest_; n <= std::min<std::uint64_t>(longest_, end_); ++n)
      earlier_[link(n, end_)] = std::exchange(latest_[slot(n)], end_);
    history_[end_ % history_.size()] = token;
    ++end_;
  }
}

WEIR_INLINE void prompt_lookup::prompt_lookup::state::propose(const draft_request&,
                                                              draft_tree& tree) {
  for (std::size_t n = longest_; n >= shortest_; --n) {
    if (n > end_) continue;
    std::uint64_t behind = latest_[slot(n)];
    while (remembered(behind, n) && !same(behind, n)) behind = earlier_[link(n, behind)];
    if (!remembered(behind, n)) continue;
    draft_tree::node at = 0;
    for (std::uint64_t i = behind; i < end_ && at != draft_tree::none; ++i)
      at = tree.add(history_[i % history_.size()], at);
    return;
  }
}

WEIR_INLINE std::size_t prompt_lookup::prompt_lookup::state::slots(const prompt_lookup& s) {
  std::size_t n = 2;
  while (n < s.history && n < std::size_t{1} << 40) n *= 2;
  return n;
}

WEIR_INLINE std::size_t prompt_lookup::prompt_lookup::state::slot(std::size_t n) const {
  std::uint64_t h = 0xcbf29ce484222325;
  for (std::uint64_t i = end_ - n; i < end_; ++i)
    h = (h ^ static_cast<std::uint32_t>(history_[i % history_.size()])) * 0x9E3779B97F4A7C15;
  return (n - shortest_) * slots_ + ((h ^ h >> 29) & (slots_ - 1));
}

WEIR_INLINE bool prompt_lookup::prompt_lookup::state::same(std::uint64_t behind,
                                                           std::size_t n) const {
  for (std::size_t i = 1; i <= n; ++i)
    if (history_[(behind - i) % history_.size()] != history_[(end_ - i) % history_.size()])
      return false;
  return true;
}

}  // namespace weir::inline WEIR_TARGET
