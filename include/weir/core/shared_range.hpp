// A range that threads share: each begins with a share of its own, and helps others once that is
// used up. Nobody idles while there is work left, however slow a neighbour is.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Numbers 0 … n − 1, each taken once. An owner takes from the front of its share and others from
/// its back, so that what one thread takes of a share is in order.
class shared_range {
 public:
  struct piece {
    std::size_t first, last;
  };
  static constexpr unsigned max_shares = 64;  ///< parts beyond have none and only help

  /// `n` < 2^32 numbers for `parts` parts. Shares begin at multiples of `unit`.
  shared_range(std::size_t n, unsigned parts, std::size_t unit = 1)
      : shares_(std::min(parts, max_shares)) {
    const std::size_t units = n / unit;
    for (unsigned i = 0; i < shares_; ++i)
      left_[i].range.store(packed(units * i / shares_ * unit,
                                  i + 1 < shares_ ? units * (i + 1) / shares_ * unit : n),
                           std::memory_order_relaxed);
  }

  /// The next number for `part`, or nothing where all are taken.
  std::optional<std::size_t> take_one(unsigned part) {
    const auto one = [](std::size_t) { return std::size_t{1}; };
    const std::optional<piece> p = take(part, one);
    return p ? std::optional(p->first) : std::nullopt;
  }
  /// Half of what is left of a share: large pieces first, small ones in the end.
  std::optional<piece> take_half(unsigned part) {
    return take(part, [](std::size_t left) { return (left + 1) / 2; });
  }

 private:
  struct alignas(cache_line) share {
    std::atomic<std::uint64_t> range;  // first, and last in the upper half
  };

  static std::uint64_t packed(std::size_t first, std::size_t last) {
    return static_cast<std::uint64_t>(last) << 32 | first;
  }

  template <class Amount>
  std::optional<piece> take(unsigned part, Amount amount) {
    for (unsigned i = 0; i < shares_; ++i) {
      const unsigned victim = (part + i) % shares_;
      const bool front = i == 0 && part < shares_;
      std::atomic<std::uint64_t>& range = left_[victim].range;
      for (std::uint64_t seen = range.load(std::memory_order_relaxed);;) {
        const std::size_t first = seen & 0xFFFFFFFF, last = seen >> 32;
        if (first >= last) break;
        const std::size_t n = amount(last - first);
        const piece taken = front ? piece{first, first + n} : piece{last - n, last};
        const std::uint64_t rest = front ? packed(first + n, last) : packed(first, last - n);
        if (range.compare_exchange_weak(seen, rest, std::memory_order_relaxed)) return taken;
      }
    }
    return std::nullopt;
  }

  unsigned shares_;
  std::array<share, max_shares> left_;
};

}  // namespace weir::inline WEIR_TARGET
