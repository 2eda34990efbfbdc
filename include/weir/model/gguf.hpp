// GGUF: the file format that holds a model's metadata and tensors. Versions 2 and 3.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf_cursor.hpp>
#include <weir/model/gguf_tensor.hpp>
#include <weir/model/gguf_value.hpp>
#include <weir/model/mapped_file.hpp>
#include <weir/model/name_index.hpp>

namespace weir::inline WEIR_TARGET {

/// A GGUF file, checked in full and then read in place. Views that it hands out live as long as
/// the object, and survive moving it.
///
/// Loading takes time proportional to the metadata; tensor data is not touched. Everything is
/// checked before anything is allocated. All failures throw `error::bad_file` with the file's
/// name, the byte offset, key or tensor, and what was expected.
class gguf_file {
 public:
  /// Maps `path` read-only.
  explicit gguf_file(const std::string& path) WEIR_TRY : name_(path), map_(path) {
    parse(map_.bytes());
  }
  WEIR_OR_OUT_OF_MEMORY("gguf_file")

  /// Copies an image from memory; `name` stands for the file in messages.
  explicit gguf_file(std::span<const std::byte> image, std::string_view name = "GGUF image");

  gguf_file(gguf_file&&) noexcept = default;
  gguf_file& operator=(gguf_file&&) noexcept = default;

  /// The path, or the name given to an image.
  const std::string& name() const { return name_; }
  std::uint32_t version() const { return version_; }
  /// Bytes between which tensors are aligned.
  std::size_t alignment() const { return alignment_; }

  // --- metadata ---

  std::size_t key_count() const { return entries_.size(); }
  std::string_view key(std::size_t i) const { return entries_[i].key; }
  const gguf_value& value(std::size_t i) const { return entries_[i].value; }

  /// The value of `key`, or null. O(1).
  const gguf_value* find(std::string_view key) const {
    const auto i = keys_.find(key, key_of{entries_});
    return i ? &entries_[*i].value : nullptr;
  }
  bool contains(std::string_view key) const { return find(key) != nullptr; }

  /// These throw `error::bad_file` when the key is missing or has another type. With a second
  /// argument a missing key gives that default; another type still throws. Integers and floating
  /// point numbers may be stored in any width; one outside the range of the result throws.
  std::uint32_t get_u32(std::string_view key) const;
  std::int64_t get_i64(std::string_view key) const;
  float get_f32(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  std::string_view get_string(std::string_view key) const { return text(required(key), key); }

  std::uint32_t get_u32(std::string_view key, std::uint32_t otherwise) const {
    return contains(key) ? get_u32(key) : otherwise;
  }
  float get_f32(std::string_view key, float otherwise) const {
    return contains(key) ? get_f32(key) : otherwise;
  }
  bool get_bool(std::string_view key, bool otherwise) const {
    return contains(key) ? get_bool(key) : otherwise;
  }
  std::string_view get_string(std::string_view key, std::string_view otherwise) const {
    const gguf_value* const v = find(key);
    return v != nullptr ? text(*v, key) : otherwise;
  }

  gguf_strings get_strings(std::string_view key) const {
    const gguf_value& v = array(key, gguf_type::string);
    return {v.bytes, static_cast<std::size_t>(v.count)};
  }
  gguf_numbers<float> get_floats(std::string_view key) const {
    return gguf_numbers<float>(array(key, gguf_type::float32).bytes);
  }
  gguf_numbers<std::int32_t> get_ints(std::string_view key) const {
    return gguf_numbers<std::int32_t>(array(key, gguf_type::int32).bytes);
  }

  // --- tensors ---

  std::span<const gguf_tensor> tensors() const { return tensors_; }

  /// The tensor of that name, or null. O(1).
  const gguf_tensor* find_tensor(std::string_view name) const {
    const auto i = tensor_names_.find(name, name_of{tensors_});
    return i ? &tensors_[*i] : nullptr;
  }

  /// The tensor of that name; throws `error::bad_file` when there is none.
  const gguf_tensor& tensor(std::string_view name) const;

  /// Throws `error::bad_file` unless weir can compute with `tensor`.
  void require_supported(const gguf_tensor& tensor) const;

 private:
  struct entry {
    std::string_view key;
    gguf_value value;
  };
  struct alignas(64) chunk {  // so that a copied image is aligned as a mapped one
    std::array<std::byte, 64> bytes;
  };

  struct key_of {
    const std::vector<entry>& entries;
    std::string_view operator()(std::uint32_t i) const { return entries[i].key; }
  };
  struct name_of {
    const std::vector<gguf_tensor>& tensors;
    std::string_view operator()(std::uint32_t i) const { return tensors[i].name; }
  };

  const gguf_value& required(std::string_view key) const;

  void require_type(const gguf_value& v, std::string_view key, gguf_type expected,
                    std::string_view prefix = "") const;

  std::string_view text(const gguf_value& v, std::string_view key) const {
    require_type(v, key, gguf_type::string);
    return {reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()};
  }

  const gguf_value& array(std::string_view key, gguf_type element) const;

  void parse(std::span<const std::byte> bytes);

  /// Twice over the same records: once to check them all, once to keep them.
  void parse_metadata(detail::gguf_cursor& at, std::uint64_t count);

  std::size_t read_alignment() const;

  void parse_tensors(std::span<const std::byte> bytes, detail::gguf_cursor& at,
                     std::uint64_t count);

  std::string name_;
  mapped_file map_;
  std::vector<chunk> copy_;
  std::uint32_t version_ = 0;
  std::size_t alignment_ = 0;
  std::vector<entry> entries_;
  name_index keys_;
  std::vector<gguf_tensor> tensors_;
  name_index tensor_names_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf.inl.hpp>
#endif
