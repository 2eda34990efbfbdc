// Bodies of model/gguf/gguf_cursor.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE std::span<const std::byte> gguf_cursor::take(std::uint64_t count, std::size_t size,
                                                         std::string_view what) {
  if (count > remaining() / size) [[unlikely]]
    fail(what, ": needs ", count, " x ", size, " bytes, but the file ends after ", remaining());
  const auto taken = bytes_.subspan(offset_, static_cast<std::size_t>(count) * size);
  offset_ += taken.size();
  return taken;
}

WEIR_INLINE std::string_view gguf_cursor::read_string(std::string_view what) {
  const auto length = read<std::uint64_t>(what);
  const auto bytes = take(length, 1, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace weir::inline WEIR_TARGET::detail
