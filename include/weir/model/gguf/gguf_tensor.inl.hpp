// Bodies of model/gguf/gguf_tensor.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/ggml_type.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/gguf/gguf_tensor.hpp>
#include <weir/model/gguf/gguf_value.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE gguf_header read_gguf_header(gguf_cursor& at) {
  constexpr std::uint32_t magic = 0x46554747u;          // "GGUF"
  constexpr std::uint32_t swapped_magic = 0x47475546u;  // "FUGG"
  at.require(at.remaining() != 0, "empty file; expected a GGUF file");
  gguf_cursor field = at;
  const auto found = at.read<std::uint32_t>("magic");
  field.require(found != swapped_magic, "magic is byte-swapped; expected a little-endian file");
  field.require(found == magic, "magic is not \"GGUF\"");

  field = at;
  const auto version = at.read<std::uint32_t>("version");
  field.require((version & 0xFFFFu) != 0 || version == 0, "version is byte-swapped (", version,
                "); expected a little-endian file");
  field.require(version == 2 || version == 3, "version ", version, "; expected 2 or 3");

  field = at;
  const auto tensors = at.read<std::uint64_t>("tensor count");
  gguf_cursor keys_field = at;
  const auto keys = at.read<std::uint64_t>("key count");
  field.require(
      tensors <= std::min<std::uint64_t>(at.remaining() / least_tensor_bytes, max_records),
      "tensor count ", tensors, "; the file has room for ", at.remaining() / least_tensor_bytes);
  keys_field.require(keys <= std::min<std::uint64_t>(at.remaining() / least_key_bytes, max_records),
                     "key count ", keys, "; the file has room for ",
                     at.remaining() / least_key_bytes);
  return {version, tensors, keys};
}

WEIR_INLINE std::string_view read_gguf_key(gguf_cursor& at) {
  const gguf_cursor start = at;
  const std::string_view key = at.read_string("key");
  start.require(key.size() <= 65535, "key of ", key.size(), " bytes; expected at most 65535");
  start.require(is_plain_name(key),
                "key is empty, holds a NUL or other control character, or is not UTF-8");
  return key;
}

WEIR_INLINE gguf_tensor_record read_gguf_tensor(gguf_cursor& at, std::size_t alignment) {
  gguf_cursor field = at;
  gguf_tensor_record t{};
  t.name = at.read_string("tensor name");
  field.require(t.name.size() < 64, "tensor name of ", t.name.size(),
                " bytes; expected at most 63");
  field.require(is_plain_name(t.name),
                "tensor name is empty, holds a NUL or other control character, or is not UTF-8");

  field = at;
  t.rank = at.read<std::uint32_t>(t.name);
  field.require(t.rank >= 1 && t.rank <= 4, "tensor '", t.name, "' has ", t.rank,
                " dimensions; expected 1 ... 4");
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  std::uint64_t bound = 1;  // product with every 0 read as 1, so that no order of dimensions wraps
  std::uint64_t elements = 1;
  t.dims.fill(1);
  for (std::uint32_t i = 0; i < t.rank; ++i) {
    field = at;
    t.dims[i] = at.read<std::uint64_t>(t.name);
    const std::uint64_t d = std::max<std::uint64_t>(t.dims[i], 1);
    field.require(d <= most / bound, "tensor '", t.name, "' has dimension ", i, " of ", t.dims[i],
                  "; expected fewer than 2^63 elements in all");
    bound *= d;
    elements *= t.dims[i];
  }

  field = at;
  t.type = static_cast<ggml_type>(at.read<std::uint32_t>(t.name));
  const ggml_type_layout* const layout = layout_of(t.type);
  field.require(layout != nullptr, "tensor '", t.name, "' has type ",
                static_cast<std::uint32_t>(t.type), ", which is unknown or was removed");
  field.require(t.dims[0] % layout->elements == 0, "tensor '", t.name, "' has rows of ", t.dims[0],
                " elements; expected a multiple of ", layout->elements, " for ", layout->name);
  const std::uint64_t blocks = elements / layout->elements;
  field.require(blocks <= most / layout->bytes, "tensor '", t.name, "' has ", elements,
                " elements of ", layout->name, "; expected fewer than 2^63 bytes");
  t.size = blocks * layout->bytes;

  field = at;
  t.offset = at.read<std::uint64_t>(t.name);
  field.require(t.offset % alignment == 0, "tensor '", t.name, "' has offset ", t.offset,
                "; expected a multiple of ", alignment);
  return t;
}

WEIR_INLINE std::size_t gguf_records_size(std::span<const std::byte> file, std::string_view name) {
  gguf_cursor at(file, name);
  const gguf_header header = read_gguf_header(at);
  for (std::uint64_t i = 0; i < header.key_count; ++i) {
    const std::string_view key = read_gguf_key(at);
    read_gguf_value(at, key);
  }
  for (std::uint64_t i = 0; i < header.tensor_count; ++i) read_gguf_tensor(at, 1);
  return at.offset();
}

WEIR_INLINE void require_within(std::span<const std::byte> section, const gguf_tensor_record& t,
                                std::size_t start, const std::string& file) {
  error::require<error::bad_file>(t.offset <= section.size() && t.size <= section.size() - t.offset,
                                  file, ": tensor '", t.name, "' takes ", t.size,
                                  " bytes at offset ", t.offset, "; the data section, from byte ",
                                  start, " on, has ", section.size());
}

WEIR_INLINE void require_disjoint(std::span<const gguf_tensor> tensors, const std::string& file) {
  std::vector<std::uint32_t> order;
  order.reserve(tensors.size());
  for (std::uint32_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].data.empty()) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return tensors[a].offset < tensors[b].offset;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const gguf_tensor& a = tensors[order[i - 1]];
    const gguf_tensor& b = tensors[order[i]];
    error::require<error::bad_file>(a.offset + a.data.size() <= b.offset, file, ": tensor '",
                                    b.name, "' at offset ", b.offset, " overlaps tensor '", a.name,
                                    "', which ends at ", a.offset + a.data.size());
  }
}

}  // namespace detail

}  // namespace weir::inline WEIR_TARGET
