// The records that a GGUF file is made of: header, keys, tensor descriptions.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/gguf/ggml_type.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/tokenizer/utf8.hpp>

namespace weir::inline WEIR_TARGET {

/// A tensor in a file. `dims[0]` counts neighbours in memory; dimensions from `rank` on are 1.
struct gguf_tensor {
  std::string_view name;
  ggml_type type;
  std::uint32_t rank;                 ///< 1 … 4
  std::array<std::uint64_t, 4> dims;  ///< may hold 0: such a tensor has no data
  std::uint64_t offset;               ///< bytes from the start of the data section
  std::span<const std::byte> data;    ///< aligned as the file says, at least to 8 bytes
};

namespace detail {

struct gguf_header {
  std::uint32_t version;
  std::uint64_t tensor_count;
  std::uint64_t key_count;
};

// The least bytes that a record can take. They bound how many there can be.
inline constexpr std::size_t least_key_bytes = 8 + 1 + 4 + 1;
inline constexpr std::size_t least_tensor_bytes = 8 + 1 + 4 + 8 + 4 + 8;
// More than any model has; small enough for 32-bit numbers.
inline constexpr std::uint64_t max_records = (std::uint64_t{1} << 30) - 1;

gguf_header read_gguf_header(gguf_cursor& at);

/// Whether a name can stand in a message as it is.
inline bool is_plain_name(std::string_view name) {
  const auto prints = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; };
  return !name.empty() && std::all_of(name.begin(), name.end(), prints) && utf8::is_valid(name);
}

std::string_view read_gguf_key(gguf_cursor& at);

struct gguf_tensor_record {
  std::string_view name;
  ggml_type type;
  std::uint32_t rank;
  std::array<std::uint64_t, 4> dims;
  std::uint64_t offset;
  std::uint64_t size;  // bytes
};

/// Reads a tensor description and checks all that it says by itself. O(1).
gguf_tensor_record read_gguf_tensor(gguf_cursor& at, std::size_t alignment);

/// Bytes before the data section: header, keys and tensor descriptions, all of which are read and,
/// but for what one says about another, checked.
std::size_t gguf_records_size(std::span<const std::byte> file, std::string_view name);

void require_within(std::span<const std::byte> section, const gguf_tensor_record& t,
                    std::size_t start, const std::string& file);

/// Gaps are allowed, shared bytes are not. O(n log n).
void require_disjoint(std::span<const gguf_tensor> tensors, const std::string& file);

}  // namespace detail
}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf_tensor.inl.hpp>
#endif
