// Token kinds: text, vision or whatever a byte can name, each with a window of its own and, if
// wanted, its first tokens. StreamingVLM, arXiv 2510.09608.
//
// Tokens of a kind without a window go, such as those that only format a round. The kind is
// row::kind. A boundary is the paper's chunk.
//
// Deviations. Windows are counted in tokens, not in rounds, and the last rounds' text is part of
// the text's window, not beside it. The authors' code moves old text together, ahead of the vision
// that is left; here tokens stay in stream order. Attention does not depend on the order that
// entries lie in, so what differs is positions: renumbered within the cache, text that lies between
// kept vision is not pushed ahead of it. Under original positions nothing differs.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What stays of one kind.
struct kind_window {
  std::uint8_t kind = 0;
  std::size_t last = 0;   ///< tokens
  std::size_t first = 0;  ///< tokens: a sink within the kind
};

template <std::size_t Kinds>
struct token_kinds {
  std::array<kind_window, Kinds> kinds;
  std::size_t budget = 0;
  static constexpr decision_scope scope = decision_scope::one_for_all;

  template <std::same_as<kind_window>... K>
  explicit token_kinds(K... k) : kinds{k...}, budget((0 + ... + (k.last + k.first))) {}

  std::size_t notes(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info& came) const {
    view.note(s) = static_cast<float>(came.kind);
  }

  void select(selection& open) const {
    const slots_view& view = open.view();
    for (const kind_window& k : kinds) {
      const auto is_one = [&](std::size_t i) {
        return view.note(view.at(i)) == static_cast<float>(k.kind);
      };
      // The first tokens of a kind never go, so that they are the first of those left, too.
      std::size_t first = k.first, last = k.last;
      for (std::size_t i = 0; i < open.size() && first > 0; ++i)
        if (is_one(i)) open.take(i), --first;
      for (std::size_t i = open.size(); i-- > 0 && last > 0;)
        if (is_one(i)) open.take(i), --last;
    }
  }
};
template <std::same_as<kind_window>... K>
token_kinds(K...) -> token_kinds<sizeof...(K)>;

static_assert(eviction_policy<token_kinds<2>> && has_on_append<token_kinds<2>>);

}  // namespace weir::inline WEIR_TARGET
