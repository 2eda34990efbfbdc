// Pairs of numbers to numbers: the hash table behind merges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// Finds the number of a pair of numbers in O(1). 18 to 36 bytes a pair. The hash is seeded at
/// random per table, so that no file can be made whose pairs collide on purpose.
class pair_index {
 public:
  static constexpr std::uint32_t none = 0xFFFFFFFFu;

  /// None if the pair was never added.
  std::uint32_t find(std::uint32_t a, std::uint32_t b) const {
    return slots_.empty() ? none : slots_[look_up(a, b)].number;
  }

  /// Adds a pair with a number other than none, or leaves it what number it has.
  void insert(std::uint32_t a, std::uint32_t b, std::uint32_t number);

  /// Adds a pair, or gives it another number, which is not none.
  void assign(std::uint32_t a, std::uint32_t b, std::uint32_t number);

 private:
  struct slot {
    std::uint32_t a = none, b = none, number = none;
  };

  /// The slot of the pair, or the vacant one where it belongs. A third of all slots is vacant.
  std::size_t look_up(std::uint32_t a, std::uint32_t b) const;

  /// The pair's slot, made if there is none.
  slot& add(std::uint32_t a, std::uint32_t b);

  void grow();

  std::vector<slot> slots_;  // a power of two of them
  std::size_t count_ = 0;
  std::uint64_t seed_ = 0;
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/pair_index.inl.hpp>
#endif
