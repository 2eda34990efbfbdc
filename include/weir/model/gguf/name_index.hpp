// Names to small integers: the hash table behind keys, tensors and vocabularies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Finds the number of a name in O(length). Keeps numbers only; the caller keeps the names and
/// hands in `name_of`, a function from number to name. The hash is seeded at random per table, so
/// that no file can be made whose names collide on purpose.
class name_index {
 public:
  name_index() = default;

  /// Room for `count` names, below 2³⁰. Allocates 12 bytes a name.
  explicit name_index(std::size_t count) : slots_(count + count / 2 + 1), seed_(random_seed()) {}

  /// Adds `name` as `number`, or returns the number that an equal name already has.
  template <class NameOf>
  std::optional<std::uint32_t> insert(std::string_view name, std::uint32_t number,
                                      const NameOf& name_of) {
    const place p = look_up(name, name_of);
    slot& found = slots_[p.slot];
    if (found.number != vacant) return found.number;
    found = {number, p.tag};
    return std::nullopt;
  }

  template <class NameOf>
  std::optional<std::uint32_t> find(std::string_view name, const NameOf& name_of) const {
    if (slots_.empty()) return std::nullopt;
    const slot& found = slots_[look_up(name, name_of).slot];
    if (found.number == vacant) return std::nullopt;
    return found.number;
  }

  /// For tables of a kind with this one: a seed, and a mixture of a number's bits.
  static std::uint64_t random_seed();

  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
  }

 private:
  static constexpr std::uint32_t vacant = 0xFFFFFFFFu;

  struct slot {
    std::uint32_t number = vacant;
    std::uint32_t tag = 0;  // half of the hash: most misses never touch the name
  };

  struct place {
    std::size_t slot;
    std::uint32_t tag;
  };

  /// The slot of that name, or the vacant one where it belongs. A third of all slots is vacant.
  template <class NameOf>
  place look_up(std::string_view name, const NameOf& name_of) const {
    const std::uint64_t h = hash(name);
    const auto tag = static_cast<std::uint32_t>(h);
    // Maps 32 bits evenly to the slots without a division.
    auto i = static_cast<std::size_t>(((h >> 32) * slots_.size()) >> 32);
    for (; slots_[i].number != vacant; i = i + 1 == slots_.size() ? 0 : i + 1)
      if (slots_[i].tag == tag && name_of(slots_[i].number) == name) break;
    return {i, tag};
  }

  std::uint64_t hash(std::string_view name) const;

  std::vector<slot> slots_;
  std::uint64_t seed_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/name_index.inl.hpp>
#endif
