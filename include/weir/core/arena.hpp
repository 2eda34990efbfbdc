// One aligned block per object, sized before it is allocated.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include <weir/core/checked_size.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Every array starts on a cache line (and on a 512-bit register).
inline constexpr std::size_t cache_line = 64;

/// Large ones start where a way of the second cache does: 0.98 of the time of attention over 1056
/// tokens on a Zen 5, as against starts elsewhere, on pages or not.
inline constexpr std::size_t large_array = std::size_t{1} << 20,
                             large_start = std::size_t{64} << 10;

/// Adds up what an object will need. The same code that plans also hands out the memory, so that
/// the bytes announced and the bytes held cannot differ.
class arena_plan {
 public:
  template <class T>
  struct block {
    std::size_t offset = 0;  ///< bytes from the start of the arena
    std::size_t count = 0;   ///< elements
  };

  /// Reserves an array of a trivial type, of as many elements as the product of `extents` says.
  /// Throws error::bad_config if no memory could hold it beside what was reserved before.
  template <class T, class... Extents>
  block<T> reserve(std::size_t first, Extents... rest) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
    const std::size_t count = checked_product(first, rest...),
                      bytes = checked_product(count, sizeof(T)),
                      start = bytes >= large_array ? round_up(bytes_, large_start) : bytes_;
    bytes_ = checked_sum(start, round_up(bytes, cache_line));
    return {start, count};
  }

  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

namespace detail {

struct release_aligned {
  std::align_val_t alignment{cache_line};
  void operator()(std::byte* p) const { ::operator delete(p, alignment); }
};

}  // namespace detail

/// Owns the memory of a plan: zeroed, aligned as its arrays are, one allocation;
/// error::out_of_memory is thrown if that fails. Large arenas lie in huge pages where the system
/// grants them, since reading a stream of small pages waits for their translation: 0.94 – 0.96 of
/// the time of attention over 16384 tokens.
class arena {
 public:
  arena() = default;
  explicit arena(const arena_plan& plan) : arena(plan.bytes()) {
    if (bytes_ > 0) std::memset(memory_.get(), 0, bytes_);
  }

  /// Another arena with the same contents.
  arena copy() const;

  /// Takes over the first `bytes` bytes of another arena of the same plan.
  void copy_from(const arena& other, std::size_t bytes) {
    if (bytes > 0) std::memcpy(memory_.get(), other.memory_.get(), bytes);
  }

  /// The elements that `plan.reserve` set aside.
  template <class T>
  std::span<T> operator[](arena_plan::block<T> b) const {
    return {reinterpret_cast<T*>(memory_.get() + b.offset), b.count};
  }

  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t huge_page = std::size_t{2} << 20;

  explicit arena(std::size_t bytes);

  std::unique_ptr<std::byte, detail::release_aligned> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/core/arena.inl.hpp>
#endif
