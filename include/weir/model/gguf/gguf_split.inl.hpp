// Bodies of model/gguf/gguf_split.hpp.
#pragma once

#include <cstdint>
#include <string>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf_split.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE std::string gguf_split::suffix(std::uint32_t i) const {
  const auto five_digits = [](std::uint64_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return "-" + five_digits(std::uint64_t{i} + 1) + "-of-" + five_digits(count) + ".gguf";
}

WEIR_INLINE std::string gguf_split::words() const {
  return "part " + std::to_string(std::uint64_t{number} + 1) + " of " + std::to_string(count) +
         " of a split model";
}

WEIR_INLINE std::string gguf_split::path_of(std::uint32_t i, const std::string& own) const {
  const std::string end = suffix(number);
  error::require<error::bad_file>(own.ends_with(end), own, ": is ", words(),
                                  "; expected a name that ends in '", end,
                                  "', beside the other parts");
  return own.substr(0, own.size() - end.size()) + suffix(i);
}

}  // namespace weir::inline WEIR_TARGET::detail
