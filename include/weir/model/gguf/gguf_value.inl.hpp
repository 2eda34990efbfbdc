// Bodies of model/gguf/gguf_value.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/gguf/gguf_value.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE gguf_type read_gguf_type(gguf_cursor& at, std::string_view key) {
  const std::size_t start = at.offset();
  const auto id = at.read<std::uint32_t>("value type");
  if (id >= gguf_layouts.size()) [[unlikely]]
    error::raise<error::bad_file>(at.file(), ": byte ", start, ": key '", key, "' has value type ",
                                  id, "; expected 0 ... 12");
  return static_cast<gguf_type>(id);
}

WEIR_INLINE void require_bools(const gguf_cursor& at, std::string_view key,
                               std::span<const std::byte> bytes) {
  for (const std::byte b : bytes)
    at.require(b <= std::byte{1}, "key '", key, "' ends here and holds the bool ",
               std::to_integer<int>(b), "; expected 0 or 1");
}

WEIR_INLINE gguf_value read_gguf_value(gguf_cursor& at, std::string_view key) {
  const gguf_type type = read_gguf_type(at, key);
  if (type == gguf_type::string) {
    const std::string_view text = at.read_string(key);
    return {type, type, 1, std::as_bytes(std::span(text))};
  }
  if (type != gguf_type::array) {
    const auto bytes = at.take(1, layout_of(type).size, key);
    if (type == gguf_type::boolean) require_bools(at, key, bytes);
    return {type, type, 1, bytes};
  }
  const gguf_type element = read_gguf_type(at, key);
  at.require(element != gguf_type::array, "key '", key,
             "' is an array of arrays; expected an array of scalars or strings");
  const auto count = at.read<std::uint64_t>(key);
  if (element != gguf_type::string) {
    const auto bytes = at.take(count, layout_of(element).size, key);
    if (element == gguf_type::boolean) require_bools(at, key, bytes);
    return {type, element, count, bytes};
  }
  // Every string takes at least its length field: a count that cannot fit fails before the loop.
  at.require(count <= at.remaining() / 8, "key '", key, "' has ", count,
             " strings; the file has room for ", at.remaining() / 8);
  gguf_cursor scan = at;
  for (std::uint64_t i = 0; i < count; ++i) scan.read_string(key);
  return {type, element, count, at.take(scan.offset() - at.offset(), 1, key)};
}

}  // namespace detail

}  // namespace weir::inline WEIR_TARGET
