// One draft at a time, for drafters that decide together: see drafters/combined.hpp.
#pragma once

#include <concepts>
#include <optional>
#include <span>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct token_draft {
  token_id token = 0;
  float confidence = 0;  ///< that it is right, from 0 to 1: compared between drafters
};

/// Drafters' states that also say what they would draft behind `path`, drafts below the root that
/// need not be their own; nothing, if they do not know.
template <class S>
concept drafts_singly =
    requires(S& s, const draft_request& request, std::span<const token_id> path) {
      { s.draft(request, path) } -> std::same_as<std::optional<token_draft>>;
    };

}  // namespace weir::inline WEIR_TARGET
