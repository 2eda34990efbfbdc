// Token ids: indices into a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// An index into the vocabulary of a model. Negative values are never valid.
using token_id = std::int32_t;

/// Throws `error::bad_input` naming the first id that is negative or not below `vocab_size`, and
/// its index. O(ids).
inline void require_in_vocabulary(std::span<const token_id> ids, std::size_t vocab_size) {
  for (std::size_t i = 0; i < ids.size(); ++i)
    error::require<error::bad_input>(
        ids[i] >= 0 && static_cast<std::size_t>(ids[i]) < vocab_size, "token ", i, " is ", ids[i],
        "; expected an id from 0 to below ", vocab_size, ", the size of the vocabulary");
}

}  // namespace weir::inline WEIR_TARGET
