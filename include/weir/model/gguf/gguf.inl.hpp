// Bodies of model/gguf/gguf.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/ggml_type.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/gguf/gguf_parts.inl.hpp>
#include <weir/model/gguf/gguf_split.hpp>
#include <weir/model/gguf/gguf_tensor.hpp>
#include <weir/model/gguf/gguf_value.hpp>
#include <weir/model/gguf/name_index.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE gguf_file::gguf_file(const std::string& path, const gguf_options& options) WEIR_TRY {
  gguf_file named = open_one(path, options.map);
  const detail::gguf_split place = named.place();
  *this = place.count == 1 ? std::move(named)
                           : join(open_parts(std::move(named), place, options.map), path);
}
WEIR_OR_OUT_OF_MEMORY("gguf_file")

WEIR_INLINE gguf_file::gguf_file(std::span<const std::byte> image, std::string_view name) WEIR_TRY
    : name_(name),
      storage_(1) {
  std::vector<chunk>& copy = storage_[0].image;
  copy.resize((image.size() + sizeof(chunk) - 1) / sizeof(chunk));
  if (!image.empty()) std::memcpy(copy.data(), image.data(), image.size());
  parse({reinterpret_cast<const std::byte*>(copy.data()), image.size()});
  error::require<error::bad_file>(place().count == 1, name_, ": is ", place().words(),
                                  "; expected a whole model");
}
WEIR_OR_OUT_OF_MEMORY("gguf_file")

WEIR_INLINE gguf_file gguf_file::open_one(const std::string& path, bool map) {
  gguf_file f;
  f.name_ = path;
  f.storage_.resize(1);
  f.storage_[0].file = mapped_file(path, map);
  f.parse(f.storage_[0].file.bytes());
  return f;
}

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

template <class Number>
void gguf_file::require_fits(bool fits, std::string_view key, Number number, std::string_view range,
                             std::optional<std::size_t> i) const {
  if (fits) return;
  if (i)
    error::raise<error::bad_file>(name_, ": key '", key, "' has ", +number, " as element ", *i,
                                  "; expected ", range);
  error::raise<error::bad_file>(name_, ": key '", key, "' is ", +number, "; expected ", range);
}

WEIR_INLINE std::int64_t gguf_file::get_i64(std::string_view key) const {
  const gguf_value& v = required(key);
  if (v.is_array() || !detail::is_integer(v.element)) require_type(v, key, gguf_type::uint32);
  return detail::with_integer(v.element, v.bytes.data(), [&](auto number) {
    require_fits(std::in_range<std::int64_t>(number), key, number, "less than 2^63");
    return static_cast<std::int64_t>(number);
  });
}

WEIR_INLINE std::uint32_t gguf_file::get_u32(std::string_view key) const {
  const std::int64_t number = get_i64(key);
  require_fits(std::in_range<std::uint32_t>(number), key, number, "0 to 4294967295");
  return static_cast<std::uint32_t>(number);
}

WEIR_INLINE float gguf_file::get_f32(std::string_view key) const {
  const gguf_value& v = required(key);
  if (v.is_array() || !detail::is_real(v.element)) require_type(v, key, gguf_type::float32);
  const double number = detail::real_at(v.element, v.bytes.data());
  require_fits(detail::fits_float(number), key, number, "a number that float32 can hold");
  return static_cast<float>(number);
}

WEIR_INLINE gguf_numbers<float> gguf_file::get_floats(std::string_view key) const {
  const gguf_value& v = required(key);
  if (!v.is_array() || !detail::is_real(v.element))
    require_type(v, key, gguf_type::float32, "array of ");
  for (std::size_t i = 0, width = detail::layout_of(v.element).size; i < v.count; ++i) {
    const double number = detail::real_at(v.element, v.bytes.data() + i * width);
    require_fits(detail::fits_float(number), key, number, "a number that float32 can hold", i);
  }
  return {v.element, v.bytes};
}

WEIR_INLINE gguf_numbers<std::int32_t> gguf_file::get_ints(std::string_view key) const {
  const gguf_value& v = required(key);
  if (!v.is_array() || !detail::is_integer(v.element))
    require_type(v, key, gguf_type::int32, "array of ");
  for (std::size_t i = 0, width = detail::layout_of(v.element).size; i < v.count; ++i)
    detail::with_integer(v.element, v.bytes.data() + i * width, [&](auto number) {
      require_fits(std::in_range<std::int32_t>(number), key, number, "-2147483648 to 2147483647",
                   i);
    });
  return {v.element, v.bytes};
}

WEIR_INLINE bool gguf_file::get_bool(std::string_view key) const {
  const gguf_value& v = required(key);
  require_type(v, key, gguf_type::boolean);
  return v.bytes[0] != std::byte{0};
}

WEIR_INLINE void gguf_file::parse(std::span<const std::byte> bytes) {
  // A mapped file may change at any time. What is read here says how much there is to copy; all
  // that is believed is read from the copy.
  std::vector<std::byte>& records = storage_[0].records;
  const std::size_t size = detail::gguf_records_size(bytes, name_);
  records.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  detail::gguf_cursor at(records, name_);
  const detail::gguf_header header = detail::read_gguf_header(at);
  version_ = header.version;
  parse_metadata(at, header.key_count);
  alignment_ = read_alignment();
  parse_tensors(bytes, at, header.tensor_count);
  at.require(at.remaining() == 0, "the file was written into while it was loaded");
}

WEIR_INLINE void gguf_file::parse_metadata(detail::gguf_cursor& at, std::uint64_t count) {
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
  if (count == 0) return;  // such a file may end before the data section would start

  // Neither sum can wrap: the offset lies within the file, the alignment is at most 64 KiB.
  const std::size_t end = at.offset() + at.remaining();
  const std::size_t start = (end + alignment_ - 1) / alignment_ * alignment_;
  error::require<error::bad_file>(start <= bytes.size(), name_, ": byte ", bytes.size(),
                                  ": the file ends before its data section, which starts at ",
                                  start);
  const std::span<const std::byte> section = bytes.subspan(start);

  tensors_.reserve(static_cast<std::size_t>(count));
  tensor_names_ = name_index(static_cast<std::size_t>(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t record = at.offset();
    const detail::gguf_tensor_record t = detail::read_gguf_tensor(at, alignment_);
    detail::require_within(section, t, start, name_);
    tensors_.push_back(
        {t.name, t.type, t.rank, t.dims, t.offset,
         section.subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(t.size))});
    error::require<error::bad_file>(!tensor_names_.insert(t.name, i, name_of{tensors_}), name_,
                                    ": byte ", record, ": tensor '", t.name, "' appears twice");
  }
  detail::require_disjoint(tensors_, name_);
}

}  // namespace weir::inline WEIR_TARGET
