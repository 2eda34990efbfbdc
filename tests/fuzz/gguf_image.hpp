// GGUF images as harnesses write them: quickly, and wrongly if the input says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weir_fuzz {

/// Little-endian fields one after the other.
class image_writer {
 public:
  template <class T>
  image_writer& put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }
  image_writer& put_bytes(const void* from, std::size_t n) {
    const auto* p = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), p, p + n);
    return *this;
  }
  image_writer& put_text(std::string_view s) { return put_bytes(s.data(), s.size()); }
  image_writer& put_string(std::string_view s) { return put(std::uint64_t{s.size()}).put_text(s); }
  /// The name and type of a key; its value is to follow.
  image_writer& put_key(std::string_view name, std::uint32_t type) {
    ++keys;
    return put_string(name).put(type);
  }
  /// An array's head; its elements are to follow.
  image_writer& put_array(std::string_view name, std::uint32_t element, std::uint64_t count) {
    return put_key(name, 9).put(element).put(count);
  }

  void clear() {
    bytes_.clear();
    keys = 0;
  }
  std::size_t size() const { return bytes_.size(); }
  void resize(std::size_t n) { bytes_.resize(n); }
  std::byte* at(std::size_t offset) { return bytes_.data() + offset; }
  std::span<const std::byte> bytes() const { return bytes_; }

  std::uint64_t keys = 0;  ///< written so far

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace weir_fuzz
