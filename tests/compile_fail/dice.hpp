// A drafter whose siblings are made in one way.
#pragma once

#include <weir/speculation/concept.hpp>

template <weir::sibling_kind Kind>
struct dice {
  static constexpr weir::sibling_kind siblings = Kind;
  weir::draft_limits limits() const { return {.nodes = 2, .depth = 1, .width = 2}; }
  struct state {
    state(const dice&, const weir::draft_setup&) {}
    static std::size_t required_bytes(const dice&, const weir::draft_setup&) { return 0; }
    void append(std::span<const weir::token_id>) {}
    void propose(const weir::draft_request&, weir::draft_tree&) {}
    void reset() {}
  };
};
