// What one policy remembers in one (layer, KV head).
#pragma once

#include <cstddef>
#include <span>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct entry_memory {
  std::span<float> notes;    ///< [note, most slots]
  std::size_t most = 0;      ///< slots that there may be
  std::span<float> state;    ///< whatever the policy asked for
  std::span<float> scratch;  ///< [array, slot] lost between calls
  std::size_t slots = most;  ///< slots that are in use

  /// The same of another number of slots in use.
  entry_memory over(std::size_t in_use) const { return {notes, most, state, scratch, in_use}; }
  std::span<float> note(std::size_t k) const { return notes.subspan(k * most, slots); }
  std::span<float> array(std::size_t k) const { return scratch.subspan(k * slots, slots); }
};

}  // namespace weir::inline WEIR_TARGET
