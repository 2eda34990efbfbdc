// Caches fed with tokens that are nothing but names: what tests of caches drive.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/any_cache.hpp>
#include <weir/core/target.hpp>
#include <weir/testing/probe_tokens.hpp>

namespace weir::inline WEIR_TARGET::testing {

using weir::any_cache, weir::one_cache;

/// A live entry, copied.
struct entry_copy {
  std::uint64_t index;
  std::uint32_t tile, lane;
  std::vector<float> key, value;
};

/// The live entries of a (layer, KV head), in stream order.
template <class Cache>
std::vector<entry_copy> entries_of(const Cache& cache, std::size_t layer, std::size_t head) {
  std::vector<entry_copy> all;
  cache.for_each_entry(layer, head, [&](const cache_entry& e) {
    all.push_back({e.index.value,
                   e.tile,
                   e.lane,
                   {e.key.begin(), e.key.end()},
                   {e.value.begin(), e.value.end()}});
  });
  return all;
}

/// One token's attention outputs, `[layer, q_head, head_dim]`.
using token_output = std::vector<float>;

/// How a step's rows come to a cache.
struct row_parts {
  std::vector<std::size_t> sizes = {};  ///< begun with so many, extended by so many, … and the rest
  /// Layers that a part goes through before the next part comes; the rest is for all rows at once.
  std::size_t early_layers = std::numeric_limits<std::size_t>::max();
};

/// Opens a step of `rows` named `names`, attends every layer and returns each row's outputs.
/// The step stays open.
inline std::vector<token_output> attend_rows(any_cache& cache, const kv_shape& shape,
                                             std::span<const row> rows,
                                             std::span<const token_name> names,
                                             const row_parts& parts = {}) {
  layer_rows x;
  std::vector<token_output> out(names.size());
  const std::size_t q_row = shape.q_heads * shape.head_dim;
  std::vector<row> kinds(rows.begin(), rows.end());
  for (std::size_t r = 0; r < kinds.size(); ++r) kinds[r].kind = kind_of(names[r]);
  const auto attend = [&](std::size_t layer, std::size_t first, std::size_t last) {
    make_rows(shape, names.subspan(first, last - first), layer, x);
    cache.attend(layer, x.q, x.k, x.v, x.out);
    for (std::size_t r = first; r < last; ++r) {
      const auto from = x.out.begin() + static_cast<std::ptrdiff_t>((r - first) * q_row);
      out[r].insert(out[r].end(), from, from + static_cast<std::ptrdiff_t>(q_row));
    }
  };
  const std::size_t early = std::min(parts.early_layers, shape.layers);
  std::size_t done = 0;
  for (std::size_t part = 0; done < rows.size(); ++part) {
    const std::size_t n = part < parts.sizes.size() ? parts.sizes[part] : rows.size() - done;
    const auto some = std::span(kinds).subspan(done, n);
    done == 0 ? cache.begin(some) : cache.extend(some);
    for (std::size_t layer = 0; layer < early; ++layer) attend(layer, done, done + n);
    done += n;
  }
  for (std::size_t layer = early; layer < shape.layers; ++layer) attend(layer, 0, rows.size());
  return out;
}

/// Appends `names` as final rows, at most `chunk` a step.
inline std::vector<token_output> append(any_cache& cache, const kv_shape& shape,
                                        std::span<const token_name> names, std::size_t chunk) {
  std::vector<token_output> out;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t n = static_cast<std::size_t>(
        std::min<std::uint64_t>(std::min(chunk, names.size() - at), cache.finals_room()));
    const auto part = names.subspan(at, n);
    const std::vector<row> rows(part.size());
    auto step = attend_rows(cache, shape, rows, part);
    cache.commit({});
    for (std::size_t i = 0; i < n; ++i)
      cache.tell_log_probability(cache.length() - n + i, log_probability_of(part[i]));
    out.insert(out.end(), std::make_move_iterator(step.begin()),
               std::make_move_iterator(step.end()));
    at += n;
  }
  return out;
}

/// `n` token names that no other call with another `salt` gives.
inline std::vector<token_name> names_of(std::size_t n, std::uint64_t salt) {
  std::vector<token_name> names(n);
  for (std::size_t i = 0; i < n; ++i) names[i] = mix(salt * 1'000'003 + i) & ~poison;
  return names;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// The same bits, or NaN both.
inline bool alike(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y) || (x != x && y != y);
  });
}

/// First token whose outputs differ in some bit, or the number of tokens.
inline std::size_t first_difference(const std::vector<token_output>& a,
                                    const std::vector<token_output>& b) {
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && same_bits(a[i], b[i])) ++i;
  return i;
}

/// True if both hold the same entries, bit for bit, and in the same places unless `anywhere`.
template <class A, class B>
bool same_entries(const A& a, const B& b, const kv_shape& shape, bool anywhere = false) {
  for (std::size_t layer = 0; layer < shape.layers; ++layer)
    for (std::size_t head = 0; head < shape.kv_heads; ++head) {
      const auto x = entries_of(a, layer, head), y = entries_of(b, layer, head);
      if (x.size() != y.size()) return false;
      for (std::size_t i = 0; i < x.size(); ++i)
        if (x[i].index != y[i].index ||
            (!anywhere && (x[i].tile != y[i].tile || x[i].lane != y[i].lane)) ||
            !same_bits(x[i].key, y[i].key) || !same_bits(x[i].value, y[i].value))
          return false;
    }
  return true;
}

}  // namespace weir::inline WEIR_TARGET::testing
