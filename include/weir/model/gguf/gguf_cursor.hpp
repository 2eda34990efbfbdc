// Reads little-endian fields one after the other and never past the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

static_assert(std::endian::native == std::endian::little,
              "weir reads GGUF files in place and needs a little-endian machine");

/// Walks over the bytes of a file. `file` names it in messages and must outlive the cursor.
class gguf_cursor {
 public:
  gguf_cursor(std::span<const std::byte> bytes, std::string_view file, std::size_t offset = 0)
      : bytes_(bytes), file_(file), offset_(offset) {}

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }
  std::string_view file() const { return file_; }

  /// The next `sizeof(T)` bytes. `what` names the field should they be missing.
  template <class T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), 1, what).data(), sizeof(T));
    return value;
  }

  /// The next `count` elements of `size` bytes each (`size` > 0); their product is never formed
  /// before it is known to lie within the file.
  std::span<const std::byte> take(std::uint64_t count, std::size_t size, std::string_view what);

  /// A 64-bit length and as many bytes.
  std::string_view read_string(std::string_view what);

  /// Throws `error::bad_file` saying file, byte and field.
  template <class... Parts>
  [[noreturn]] void fail(Parts&&... parts) const {
    error::raise<error::bad_file>(file_, ": byte ", offset_, ": ", std::forward<Parts>(parts)...);
  }

  template <class... Parts>
  void require(bool holds, Parts&&... parts) const {
    if (!holds) [[unlikely]]
      fail(std::forward<Parts>(parts)...);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view file_;
  std::size_t offset_;
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf_cursor.inl.hpp>
#endif
