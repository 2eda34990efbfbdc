// No drafts: plain decoding.
#pragma once

#include <cstddef>
#include <span>

#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct no_drafts {
  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {}; }

  struct state {
    state(const no_drafts&, const draft_setup&) {}
    static std::size_t required_bytes(const no_drafts&, const draft_setup&) { return 0; }
    void append(std::span<const token_id>) {}
    void propose(const draft_request&, draft_tree&) {}
    void reset() {}
  };
};

}  // namespace weir::inline WEIR_TARGET
