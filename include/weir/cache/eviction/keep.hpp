// keep<A, B, C>: what stays. And keep_all: everything does.
#pragma once

#include <tuple>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/error.hpp>

namespace weir {

/// Nothing is evicted; the stream ends at `capacity` tokens.
struct keep_all {
  std::size_t capacity = 0;
};

/// A claims up to its budget, then B from what is left, and so on. What nobody claims is dropped.
/// sinks + window is StreamingLLM (arXiv 2309.17453).
template <class... Members>
struct keep {
  static_assert(sizeof...(Members) > 0, "weir: keep<> keeps nothing; name at least one member");
  static_assert((eviction_member<Members> && ...),
                "weir: a member of keep<> needs a `budget` and exactly one of `end`, `score(const "
                "slots_view&, slot)` and `claim(claims&)`; see weir/cache/eviction/concept.hpp");

  std::tuple<Members...> members;

  keep() = default;
  keep(Members... m) : members(std::move(m)...) {}  // NOLINT(google-explicit-constructor)

  /// True if every member looks only at positions: eviction is then a mask.
  static constexpr bool is_positional = (positional_claim<Members> && ...);

  /// Sum of the members' budgets that satisfy `which(member)`.
  template <class Which>
  std::size_t budget(Which which) const {
    return std::apply(
        [&](const auto&... m) {
          std::size_t total = 0;
          ((which(m) ? total = checked_sum(total, m.budget) : total), ...);
          return total;
        },
        members);
  }
  /// Entries left after a boundary, at most.
  std::size_t budget() const {
    return budget([](const auto&) { return true; });
  }
  /// Entries that the positional members claim at one end of the stream.
  std::size_t budget(claimed_end end) const {
    return budget([end](const auto& m) {
      if constexpr (positional_claim<std::remove_cvref_t<decltype(m)>>) return m.end == end;
      return false;
    });
  }

 private:
  static std::size_t checked_sum(std::size_t a, std::size_t b) {
    constexpr std::size_t limit = std::size_t{1} << 31;
    error::require<error::bad_config>(a <= limit && b <= limit - a, "keep: a budget of ", b,
                                      " entries (expected at most 2^31)");
    return a + b;
  }
};

/// Policies a cache understands.
template <class K>
inline constexpr bool is_keep = false;
template <>
inline constexpr bool is_keep<keep_all> = true;
template <class... Members>
inline constexpr bool is_keep<keep<Members...>> = true;

/// Policies whose members all are ones: says so without an error.
template <class K>
inline constexpr bool legal_keep = is_keep<K>;
template <class... Members>
inline constexpr bool legal_keep<keep<Members...>> = sizeof...(Members) > 0 &&
                                                     (eviction_member<Members> && ...);

/// True for policies that look only at positions.
template <class K>
inline constexpr bool is_positional_keep = false;
template <>
inline constexpr bool is_positional_keep<keep_all> = true;
template <class... Members>
inline constexpr bool is_positional_keep<keep<Members...>> = keep<Members...>::is_positional;

}  // namespace weir
