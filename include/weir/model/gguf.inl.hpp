// Bodies of model/gguf.hpp.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/model/ggml_type.hpp>
#include <weir/model/gguf.hpp>
#include <weir/model/gguf_cursor.hpp>
#include <weir/model/gguf_tensor.hpp>
#include <weir/model/gguf_value.hpp>
#include <weir/model/name_index.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE gguf_file::gguf_file(std::span<const std::byte> image, std::string_view name) WEIR_TRY
    : name_(name), copy_((image.size() + sizeof(chunk) - 1) / sizeof(chunk)) {
  if (!image.empty()) std::memcpy(copy_.data(), image.data(), image.size());
  parse({reinterpret_cast<const std::byte*>(copy_.data()), image.size()});
}
WEIR_OR_OUT_OF_MEMORY("gguf_file")

WEIR_INLINE const gguf_tensor& gguf_file::tensor(std::string_view name) const {
  const gguf_tensor* const found = find_tensor(name);
  error::require<error::bad_file>(found != nullptr, name_, ": tensor '", name, "' is missing");
  return *found;
}

WEIR_INLINE void gguf_file::require_supported(const gguf_tensor& tensor) const {
  error::require<error::bad_file>(
      is_supported(tensor.type), name_, ": tensor '", tensor.name, "' has type ",
      layout_of(tensor.type)->name,
      "; expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K");
}

WEIR_INLINE const gguf_value& gguf_file::required(std::string_view key) const {
  const gguf_value* const v = find(key);
  error::require<error::bad_file>(v != nullptr, name_, ": key '", key, "' is missing");
  return *v;
}

WEIR_INLINE void gguf_file::require_type(const gguf_value& v, std::string_view key,
                                         gguf_type expected, std::string_view prefix) const {
  error::require<error::bad_file>(v.element == expected && v.is_array() == !prefix.empty(), name_,
                                  ": key '", key, "' has type ", v.is_array() ? "array of " : "",
                                  detail::layout_of(v.element).name, "; expected ", prefix,
                                  detail::layout_of(expected).name);
}

WEIR_INLINE std::int64_t gguf_file::get_i64(std::string_view key) const {
  const gguf_value& v = required(key);
  const auto as = [&]<class T>(T value) {
    std::memcpy(&value, v.bytes.data(), sizeof value);
    return value;
  };
  if (!v.is_array()) switch (v.element) {
      case gguf_type::uint8:
        return as(std::uint8_t{});
      case gguf_type::int8:
        return as(std::int8_t{});
      case gguf_type::uint16:
        return as(std::uint16_t{});
      case gguf_type::int16:
        return as(std::int16_t{});
      case gguf_type::uint32:
        return as(std::uint32_t{});
      case gguf_type::int32:
        return as(std::int32_t{});
      case gguf_type::int64:
        return as(std::int64_t{});
      case gguf_type::uint64: {
        const auto value = as(std::uint64_t{});
        error::require<error::bad_file>(value < std::uint64_t{1} << 63, name_, ": key '", key,
                                        "' is ", value, "; expected less than 2^63");
        return static_cast<std::int64_t>(value);
      }
      default:
        break;
    }
  require_type(v, key, gguf_type::uint32);
  return 0;
}

WEIR_INLINE std::uint32_t gguf_file::get_u32(std::string_view key) const {
  const std::int64_t value = get_i64(key);
  constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
  error::require<error::bad_file>(value >= 0 && value <= most, name_, ": key '", key, "' is ",
                                  value, "; expected 0 to ", most);
  return static_cast<std::uint32_t>(value);
}

WEIR_INLINE float gguf_file::get_f32(std::string_view key) const {
  const gguf_value& v = required(key);
  if (!v.is_array() && v.element == gguf_type::float64) {
    double wide;
    std::memcpy(&wide, v.bytes.data(), sizeof wide);
    return static_cast<float>(wide);
  }
  require_type(v, key, gguf_type::float32);
  float value;
  std::memcpy(&value, v.bytes.data(), sizeof value);
  return value;
}

WEIR_INLINE bool gguf_file::get_bool(std::string_view key) const {
  const gguf_value& v = required(key);
  require_type(v, key, gguf_type::boolean);
  return v.bytes[0] != std::byte{0};
}

WEIR_INLINE const gguf_value& gguf_file::array(std::string_view key, gguf_type element) const {
  const gguf_value& v = required(key);
  require_type(v, key, element, "array of ");
  return v;
}

WEIR_INLINE void gguf_file::parse(std::span<const std::byte> bytes) {
  detail::gguf_cursor at(bytes, name_);
  const detail::gguf_header header = detail::read_gguf_header(at);
  version_ = header.version;
  parse_metadata(at, header.key_count);
  alignment_ = read_alignment();
  parse_tensors(bytes, at, header.tensor_count);
}

WEIR_INLINE void gguf_file::parse_metadata(detail::gguf_cursor& at, std::uint64_t count) {
  detail::gguf_cursor scan = at;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = detail::read_gguf_key(scan);
    detail::read_gguf_value(scan, key);
  }
  entries_.reserve(static_cast<std::size_t>(count));
  keys_ = name_index(static_cast<std::size_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t start = at.offset();
    const std::string_view key = detail::read_gguf_key(at);
    entries_.push_back({key, detail::read_gguf_value(at, key)});
    error::require<error::bad_file>(!keys_.insert(key, i, key_of{entries_}), name_, ": byte ",
                                    start, ": key '", key, "' appears twice");
  }
}

WEIR_INLINE std::size_t gguf_file::read_alignment() const {
  const std::uint32_t a = get_u32("general.alignment", 32);
  error::require<error::bad_file>(std::has_single_bit(a) && a >= 8 && a <= 65536, name_,
                                  ": key 'general.alignment' is ", a,
                                  "; expected a power of two, 8 ... 65536");
  return a;
}

WEIR_INLINE void gguf_file::parse_tensors(std::span<const std::byte> bytes, detail::gguf_cursor& at,
                                          std::uint64_t count) {
  detail::gguf_cursor scan = at;
  for (std::uint64_t i = 0; i < count; ++i) detail::read_gguf_tensor(scan, alignment_);
  if (count == 0) return;  // such a file may end before the data section would start

  // Neither sum can wrap: the offset lies within the file, the alignment is at most 64 KiB.
  const std::size_t start = (scan.offset() + alignment_ - 1) / alignment_ * alignment_;
  error::require<error::bad_file>(start <= bytes.size(), name_, ": byte ", bytes.size(),
                                  ": the file ends before its data section, which starts at ",
                                  start);
  const std::span<const std::byte> section = bytes.subspan(start);

  detail::gguf_cursor check = at;
  for (std::uint64_t i = 0; i < count; ++i)
    detail::require_within(section, detail::read_gguf_tensor(check, alignment_), start, name_);

  tensors_.reserve(static_cast<std::size_t>(count));
  tensor_names_ = name_index(static_cast<std::size_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t record = at.offset();
    const detail::gguf_tensor_record t = detail::read_gguf_tensor(at, alignment_);
    tensors_.push_back(
        {t.name, t.type, t.rank, t.dims, t.offset,
         section.subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(t.size))});
    error::require<error::bad_file>(!tensor_names_.insert(t.name, i, name_of{tensors_}), name_,
                                    ": byte ", record, ": tensor '", t.name, "' appears twice");
  }
  detail::require_disjoint(tensors_, name_);
}

}  // namespace weir::inline WEIR_TARGET
