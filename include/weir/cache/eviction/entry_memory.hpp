// What one member remembers in one (layer, KV head).
#pragma once

#include <cstddef>
#include <span>

namespace weir {

struct entry_memory {
  std::span<float> notes;    ///< [note, slot]
  std::size_t slots = 0;     ///< slots of a note
  std::span<float> state;    ///< whatever the member asked for
  std::span<float> scratch;  ///< [array, slot] lost between calls

  std::span<float> note(std::size_t k) const { return notes.subspan(k * slots, slots); }
  std::span<float> array(std::size_t k) const { return scratch.subspan(k * slots, slots); }
};

}  // namespace weir
