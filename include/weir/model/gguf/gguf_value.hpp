// Metadata values of a GGUF file: scalars, strings and flat arrays, seen in place.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/tokenizer/utf8.hpp>

namespace weir::inline WEIR_TARGET {

/// Value type ids as stored in files.
enum class gguf_type : std::uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12,
};

namespace detail {

struct gguf_type_layout {
  std::string_view name;
  std::size_t size;  // bytes; 0 for strings and arrays, whose size is their own
};

inline constexpr auto gguf_layouts = std::to_array<gguf_type_layout>({
    {"uint8", 1},
    {"int8", 1},
    {"uint16", 2},
    {"int16", 2},
    {"uint32", 4},
    {"int32", 4},
    {"float32", 4},
    {"bool", 1},
    {"string", 0},
    {"array", 0},
    {"uint64", 8},
    {"int64", 8},
    {"float64", 8},
});

constexpr const gguf_type_layout& layout_of(gguf_type type) {
  return gguf_layouts[static_cast<std::size_t>(type)];
}

constexpr bool is_integer(gguf_type type) {
  return type <= gguf_type::int32 || type == gguf_type::uint64 || type == gguf_type::int64;
}
constexpr bool is_real(gguf_type type) {
  return type == gguf_type::float32 || type == gguf_type::float64;
}

template <class T>
T stored_at(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Returns `f(n)` for the integer at `at`, n having the type that it is stored in. `type` is one of
/// integers.
template <class F>
auto with_integer(gguf_type type, const std::byte* at, F&& f) {
  switch (type) {
    case gguf_type::uint8:
      return f(stored_at<std::uint8_t>(at));
    case gguf_type::int8:
      return f(stored_at<std::int8_t>(at));
    case gguf_type::uint16:
      return f(stored_at<std::uint16_t>(at));
    case gguf_type::int16:
      return f(stored_at<std::int16_t>(at));
    case gguf_type::uint32:
      return f(stored_at<std::uint32_t>(at));
    case gguf_type::int32:
      return f(stored_at<std::int32_t>(at));
    case gguf_type::uint64:
      return f(stored_at<std::uint64_t>(at));
    default:
      return f(stored_at<std::int64_t>(at));
  }
}

/// The number at `at`, whose `type` is float32 or float64.
inline double real_at(gguf_type type, const std::byte* at) {
  return type == gguf_type::float32 ? stored_at<float>(at) : stored_at<double>(at);
}

/// Whether a float is `x`, or as near to it as floats are to their neighbours elsewhere: neither
/// infinite nor 0 in its place.
inline bool fits_float(double x) {
  using limits = std::numeric_limits<float>;
  const double size = std::abs(x);
  return !std::isfinite(x) ||
         (size <= limits::max() && (size >= limits::min() || static_cast<float>(x) == x));
}

gguf_type read_gguf_type(gguf_cursor& at, std::string_view key);

}  // namespace detail

/// The elements of an array of numbers as `T`, float or std::int32_t, whatever width they are
/// stored in and wherever they lie: files do not align them.
template <class T>
class gguf_numbers {
 public:
  gguf_numbers() = default;
  /// `bytes` hold numbers of type `stored`, integers for an integer `T`. All are in its range.
  gguf_numbers(gguf_type stored, std::span<const std::byte> bytes)
      : stored_(stored), bytes_(bytes) {}

  std::size_t size() const { return bytes_.size() / width(); }
  bool empty() const { return bytes_.empty(); }

  /// Element `i` < size().
  T operator[](std::size_t i) const {
    const std::byte* const at = bytes_.data() + i * width();
    if constexpr (std::is_integral_v<T>)
      return detail::with_integer(stored_, at, [](auto n) { return static_cast<T>(n); });
    else
      return static_cast<T>(detail::real_at(stored_, at));
  }

 private:
  std::size_t width() const { return detail::layout_of(stored_).size; }

  gguf_type stored_ = std::is_integral_v<T> ? gguf_type::int32 : gguf_type::float32;
  std::span<const std::byte> bytes_;
};

/// The elements of an array of strings, as views into bytes that were checked and do not change.
/// Walks forward only, because each string says where the next one starts.
class gguf_strings {
 public:
  class iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    iterator() = default;
    explicit iterator(const std::byte* at) : at_(at) {}
    std::string_view operator*() const {
      return {reinterpret_cast<const char*>(at_) + 8, length()};
    }
    iterator& operator++() {
      at_ += 8 + length();
      return *this;
    }
    iterator operator++(int) {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(iterator, iterator) = default;

   private:
    std::size_t length() const {
      std::uint64_t length;
      std::memcpy(&length, at_, 8);
      return static_cast<std::size_t>(length);
    }
    const std::byte* at_ = nullptr;
  };

  gguf_strings() = default;
  gguf_strings(std::span<const std::byte> bytes, std::size_t count)
      : bytes_(bytes), count_(count) {}

  iterator begin() const { return iterator(bytes_.data()); }
  iterator end() const { return iterator(bytes_.data() + bytes_.size()); }
  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t count_ = 0;
};

/// One value. For an array, `element` is the type of its elements and `count` how many there are;
/// for anything else `element` equals `type` and `count` is 1. `bytes` are the elements; those of
/// a single string are its text without the length.
struct gguf_value {
  gguf_type type;
  gguf_type element;
  std::uint64_t count;
  std::span<const std::byte> bytes;

  bool is_array() const { return type == gguf_type::array; }
};

namespace detail {

/// Whether both have the same type, elements included, and the same bytes.
inline bool same(const gguf_value& a, const gguf_value& b) {
  return a.type == b.type && a.element == b.element && a.count == b.count &&
         std::ranges::equal(a.bytes, b.bytes);
}

void require_bools(const gguf_cursor& at, std::string_view key, std::span<const std::byte> bytes);

/// Reads one value and checks all of it. O(bytes of the value). Never recurses.
gguf_value read_gguf_value(gguf_cursor& at, std::string_view key);

}  // namespace detail
}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf_value.inl.hpp>
#endif
