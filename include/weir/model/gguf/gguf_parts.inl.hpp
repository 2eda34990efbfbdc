// Bodies of model/gguf/gguf.hpp that make one model of several files.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/gguf_split.hpp>
#include <weir/model/gguf/gguf_tensor.hpp>
#include <weir/model/gguf/gguf_value.hpp>
#include <weir/model/gguf/name_index.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE detail::gguf_split gguf_file::place() const {
  detail::gguf_split place;
  place.count = std::max(get_u32("split.count", 1), 1u);  // 0 is written by tools that join parts
  place.number = place.count == 1 ? get_u32("split.no", 0) : get_u32("split.no");
  error::require<error::bad_file>(place.number < place.count, name_, ": key 'split.no' is ",
                                  place.number, "; expected 0 to ", place.count - 1,
                                  ", by key 'split.count'");
  return place;
}

WEIR_INLINE void gguf_file::require_place(const detail::gguf_split& expected) const {
  const auto require = [&](std::string_view key, std::uint32_t number) {
    error::require<error::bad_file>(get_u32(key) == number, name_, ": key '", key, "' is ",
                                    get_u32(key), "; expected ", number, " in ", expected.words());
  };
  require("split.count", expected.count);
  require("split.no", expected.number);
}

WEIR_INLINE std::vector<gguf_file> gguf_file::open_parts(gguf_file named,
                                                         const detail::gguf_split& place,
                                                         bool map) {
  const std::string own = named.name_;
  std::vector<gguf_file> parts;
  for (std::uint32_t i = 0; i < place.count; ++i) {
    const std::string path = place.path_of(i, own);
    if (i == place.number) {
      parts.push_back(std::move(named));
      continue;
    }
    error::require<error::bad_file>(::access(path.c_str(), F_OK) == 0, own, ": is ", place.words(),
                                    ", and '", path, "' is missing");
    parts.push_back(open_one(path, map));
    parts.back().require_place({i, place.count});
  }
  return parts;
}

WEIR_INLINE gguf_file gguf_file::join(std::vector<gguf_file> parts, const std::string& name) {
  gguf_file whole;
  whole.name_ = name;
  whole.version_ = parts[0].version_;
  whole.alignment_ = parts[0].alignment_;
  std::size_t keys = 0;
  std::size_t tensors = 0;
  for (const gguf_file& part : parts) {
    keys += part.entries_.size();
    tensors += part.tensors_.size();
  }
  error::require<error::bad_file>(std::max(keys, tensors) <= detail::max_records, name, ": has ",
                                  keys, " keys and ", tensors, " tensors; expected at most ",
                                  detail::max_records);
  whole.keys_ = name_index(keys);
  whole.tensor_names_ = name_index(tensors);
  for (gguf_file& part : parts) whole.append(std::move(part));
  const std::int64_t stated = whole.get_i64("split.tensors.count");
  error::require<error::bad_file>(stated == static_cast<std::int64_t>(tensors), name,
                                  ": key 'split.tensors.count' is ", stated, "; the ", parts.size(),
                                  " parts hold ", tensors, " tensors");
  return whole;
}

WEIR_INLINE void gguf_file::append(gguf_file part) {
  const auto require = [&](bool holds, const auto&... what) {
    error::require<error::bad_file>(holds, part.name_, ": ", what...,
                                    "; expected parts of one model");
  };
  for (const entry& e : part.entries_) {
    const auto number = static_cast<std::uint32_t>(entries_.size());
    const auto known = keys_.insert(e.key, number, key_of{entries_});
    if (!known) entries_.push_back(e);
    require(!known || e.key == "split.no" || e.key == "general.alignment" ||
                detail::same(entries_[*known].value, e.value),
            "key '", e.key, "' has another value than in an earlier part");
  }
  for (const gguf_tensor& t : part.tensors_) {
    const auto number = static_cast<std::uint32_t>(tensors_.size());
    require(!tensor_names_.insert(t.name, number, name_of{tensors_}), "tensor '", t.name,
            "' is in another part, too");
    tensors_.push_back(t);
  }
  storage_.push_back(std::move(part.storage_[0]));
}

}  // namespace weir::inline WEIR_TARGET
