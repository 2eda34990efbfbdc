// Bodies of model/tokenizer/pair_index.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/model/gguf/name_index.hpp>
#include <weir/model/tokenizer/pair_index.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE void pair_index::insert(std::uint32_t a, std::uint32_t b, std::uint32_t number) {
  if (slot& s = add(a, b); s.number == none) s.number = number;
}

WEIR_INLINE void pair_index::assign(std::uint32_t a, std::uint32_t b, std::uint32_t number) {
  add(a, b).number = number;
}

WEIR_INLINE std::size_t pair_index::look_up(std::uint32_t a, std::uint32_t b) const {
  const std::uint64_t key = (std::uint64_t{a} << 32) | b;
  const std::uint64_t h = name_index::mix(name_index::mix(key ^ seed_) + seed_);
  std::size_t i = static_cast<std::size_t>(h) & (slots_.size() - 1);
  while (slots_[i].number != none && (slots_[i].a != a || slots_[i].b != b))
    i = (i + 1) & (slots_.size() - 1);
  return i;
}

WEIR_INLINE pair_index::slot& pair_index::add(std::uint32_t a, std::uint32_t b) {
  if (3 * (count_ + 1) > 2 * slots_.size()) grow();
  slot& s = slots_[look_up(a, b)];
  if (s.number == none) {
    s.a = a;
    s.b = b;
    ++count_;
  }
  return s;
}

WEIR_INLINE void pair_index::grow() {
  std::vector<slot> old(slots_.empty() ? 16 : 2 * slots_.size());
  if (slots_.empty()) seed_ = name_index::random_seed();
  slots_.swap(old);
  for (const slot& s : old)
    if (s.number != none) slots_[look_up(s.a, s.b)] = s;
}

}  // namespace weir::inline WEIR_TARGET::detail
