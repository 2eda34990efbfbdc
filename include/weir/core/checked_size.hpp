// Sizes that are worked out from what a user asked for: a sum or product that no memory could hold
// is refused, where it is formed, rather than wrapped to a small one.
#pragma once

#include <cstddef>
#include <limits>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Most bytes, or elements, of anything: containers take any number up to it.
inline constexpr std::size_t largest_size = std::numeric_limits<std::ptrdiff_t>::max();

/// first + second + …. Throws error::bad_config above `largest_size`.
template <class... Sizes>
constexpr std::size_t checked_sum(std::size_t first, Sizes... rest) {
  std::size_t sum = first;
  [[maybe_unused]] const auto add = [&sum](std::size_t n) {
    if (sum > largest_size || n > largest_size - sum) [[unlikely]]
      error::raise<error::bad_config>("size: ", sum, " + ", n, " (expected at most ", largest_size,
                                      ", the most that memory can hold)");
    sum += n;
  };
  (add(rest), ...);
  return sum;
}

/// first * second * …. Throws error::bad_config above `largest_size`.
template <class... Sizes>
constexpr std::size_t checked_product(std::size_t first, Sizes... rest) {
  std::size_t product = first;
  [[maybe_unused]] const auto multiply = [&product](std::size_t n) {
    if (n != 0 && product > largest_size / n) [[unlikely]]
      error::raise<error::bad_config>("size: ", product, " * ", n, " (expected at most ",
                                      largest_size, ", the most that memory can hold)");
    product *= n;
  };
  (multiply(rest), ...);
  return product;
}

/// The next multiple of `to` from n on. Throws error::bad_config above `largest_size`.
constexpr std::size_t round_up(std::size_t n, std::size_t to) {
  return checked_sum(n, to - 1) / to * to;
}

}  // namespace weir::inline WEIR_TARGET
