// Feeding tokens to a cache and writing down what it answers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "cache/any_cache.hpp"
#include "cache/tokens.hpp"

namespace weir_test {

/// One token's attention outputs, `[layer, q_head, head_dim]`.
using token_output = std::vector<float>;

/// Opens a step of `rows` named `names`, attends every layer and returns each row's outputs.
/// The step stays open.
inline std::vector<token_output> attend_rows(any_cache& cache, const weir::kv_shape& shape,
                                             std::span<const weir::row> rows,
                                             std::span<const token_name> names) {
  layer_rows x;
  std::vector<token_output> out(names.size());
  const std::size_t q_row = shape.q_heads * shape.head_dim;
  cache.begin(rows);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    make_rows(shape, names, layer, x);
    cache.attend(layer, x.q, x.k, x.v, x.out);
    for (std::size_t r = 0; r < names.size(); ++r) {
      const auto from = x.out.begin() + static_cast<std::ptrdiff_t>(r * q_row);
      out[r].insert(out[r].end(), from, from + static_cast<std::ptrdiff_t>(q_row));
    }
  }
  return out;
}

/// Appends `names` as final rows, at most `chunk` a step.
inline std::vector<token_output> append(any_cache& cache, const weir::kv_shape& shape,
                                        std::span<const token_name> names, std::size_t chunk) {
  std::vector<token_output> out;
  for (std::size_t at = 0; at < names.size(); at += chunk) {
    const auto part = names.subspan(at, std::min(chunk, names.size() - at));
    const std::vector<weir::row> rows(part.size());
    auto step = attend_rows(cache, shape, rows, part);
    cache.commit({});
    out.insert(out.end(), std::make_move_iterator(step.begin()),
               std::make_move_iterator(step.end()));
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

/// First token whose outputs differ in some bit, or the number of tokens.
inline std::size_t first_difference(const std::vector<token_output>& a,
                                    const std::vector<token_output>& b) {
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && same_bits(a[i], b[i])) ++i;
  return i;
}

inline bool same_entries(const any_cache& a, const any_cache& b, const weir::kv_shape& shape) {
  for (std::size_t layer = 0; layer < shape.layers; ++layer)
    for (std::size_t head = 0; head < shape.kv_heads; ++head) {
      const auto x = a.entries(layer, head), y = b.entries(layer, head);
      if (x.size() != y.size()) return false;
      for (std::size_t i = 0; i < x.size(); ++i)
        if (x[i].index != y[i].index || x[i].tile != y[i].tile || x[i].lane != y[i].lane ||
            !same_bits(x[i].key, y[i].key) || !same_bits(x[i].value, y[i].value))
          return false;
    }
  return true;
}

}  // namespace weir_test
