// Models in several files: which part one is, and what the others are called.
#pragma once

#include <cstdint>
#include <string>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// The place of one file in a model of `count` parts. Parts are numbered from 0, but from 1 in
/// names and messages.
struct gguf_split {
  std::uint32_t number = 0;
  std::uint32_t count = 1;

  /// What the name of part `i` ends in, such as `-00001-of-00003.gguf`.
  std::string suffix(std::uint32_t i) const;

  /// `part 1 of 3 of a split model`, of this one.
  std::string words() const;

  /// The path of part `i`, by the path of this one; throws `error::bad_file` if that does not end
  /// as it should.
  std::string path_of(std::uint32_t i, const std::string& own) const;
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf_split.inl.hpp>
#endif
