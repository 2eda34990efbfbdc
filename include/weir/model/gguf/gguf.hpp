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

#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf_cursor.hpp>
#include <weir/model/gguf/gguf_split.hpp>
#include <weir/model/gguf/gguf_tensor.hpp>
#include <weir/model/gguf/gguf_value.hpp>
#include <weir/model/gguf/mapped_file.hpp>
#include <weir/model/gguf/name_index.hpp>

namespace weir::inline WEIR_TARGET {

struct gguf_options {
  /// Whether the file is mapped: quick, shared between programs, but written into or shortened
  /// while it is open it changes weights, or ends the program (mapped_file). Otherwise it is read
  /// whole, into memory of its own.
  bool map = true;
};

/// A GGUF file, or a model in several, checked in full. Tensor data is read in place, metadata from
/// a copy, so that no file can change what was checked. Views that it hands out live as long as
/// the object, and survive moving it.
///
/// Loading takes time proportional to the metadata; of a mapped file, tensor data is not touched.
/// Nothing larger than the records themselves is allocated before they are checked. All failures
/// throw `error::bad_file` with the file's name, the byte offset, key or tensor, and what was
/// expected.
class gguf_file {
 public:
  /// Opens the file at `path`. One part of a split model, named `NAME-00001-of-00003.gguf`, stands
  /// for the whole: all parts are opened, from the same folder, and their keys and tensors seen as
  /// one file's. Throws also when a part is missing, or the parts are not those of one model.
  explicit gguf_file(const std::string& path, const gguf_options& options = {});

  /// Copies the image of a whole model from memory; `name` stands for the file in messages.
  explicit gguf_file(std::span<const std::byte> image, std::string_view name = "GGUF image");

  gguf_file(gguf_file&&) noexcept = default;
  gguf_file& operator=(gguf_file&&) noexcept = default;

  /// The path, or the name given to an image.
  const std::string& name() const { return name_; }
  std::uint32_t version() const { return version_; }
  /// Bytes between which tensors are aligned, in a split model those of the first part.
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
  /// point numbers may be stored in any width, alone and in arrays; one outside the range of the
  /// result throws, and so does a number that would become 0 or lose its digits.
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
    const gguf_value& v = required(key);
    require_type(v, key, gguf_type::string, "array of ");
    return {v.bytes, static_cast<std::size_t>(v.count)};
  }
  /// O(elements), to see that all can be read.
  gguf_numbers<float> get_floats(std::string_view key) const;
  gguf_numbers<std::int32_t> get_ints(std::string_view key) const;

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
  struct storage {  // what views of one file lie in
    mapped_file file;
    std::vector<chunk> image;        // instead, if it came from memory
    std::vector<std::byte> records;  // a copy of all that lies before the tensors' data
  };

  struct key_of {
    const std::vector<entry>& entries;
    std::string_view operator()(std::uint32_t i) const { return entries[i].key; }
  };
  struct name_of {
    const std::vector<gguf_tensor>& tensors;
    std::string_view operator()(std::uint32_t i) const { return tensors[i].name; }
  };

  gguf_file() = default;

  static gguf_file open_one(const std::string& path, bool map);

  /// Which part of a split model the file says to be.
  detail::gguf_split place() const;

  /// Throws `error::bad_file` if it says to be another.
  void require_place(const detail::gguf_split& expected) const;

  /// All parts of the model of which `named` is the one at `place`, in order.
  static std::vector<gguf_file> open_parts(gguf_file named, const detail::gguf_split& place,
                                           bool map);

  static gguf_file join(std::vector<gguf_file> parts, const std::string& name);

  void append(gguf_file part);

  const gguf_value& required(std::string_view key) const;

  /// Throws `error::bad_file` unless a number fits, which is an element of an array if `i` is
  /// given.
  template <class Number>
  void require_fits(bool fits, std::string_view key, Number number, std::string_view range,
                    std::optional<std::size_t> i = {}) const;

  void require_type(const gguf_value& v, std::string_view key, gguf_type expected,
                    std::string_view prefix = "") const;

  std::string_view text(const gguf_value& v, std::string_view key) const {
    require_type(v, key, gguf_type::string);
    return {reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()};
  }

  /// Reads `bytes`, which lie in the only storage there is.
  void parse(std::span<const std::byte> bytes);

  void parse_metadata(detail::gguf_cursor& at, std::uint64_t count);

  std::size_t read_alignment() const;

  void parse_tensors(std::span<const std::byte> bytes, detail::gguf_cursor& at,
                     std::uint64_t count);

  std::string name_;
  std::vector<storage> storage_;
  std::uint32_t version_ = 0;
  std::size_t alignment_ = 0;
  std::vector<entry> entries_;
  name_index keys_;
  std::vector<gguf_tensor> tensors_;
  name_index tensor_names_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf.inl.hpp>
#endif
