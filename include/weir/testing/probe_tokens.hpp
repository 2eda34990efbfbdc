// Queries, keys and values that depend on nothing but the token's name and the layer, so that the
// same token can be fed as a final row here and as a provisional one there.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET::testing {

/// A token's name. Poisoned ones have infinite keys and NaN values: nobody may notice that they
/// were ever in a lane.
using token_name = std::uint64_t;
inline constexpr token_name poison = token_name{1} << 63;

/// A name whose q, k or v holds a number that is not finite, or that overflows in a product.
inline token_name wild(std::uint32_t which) { return token_name{0x571D571D} << 32 | which; }
inline bool is_wild(token_name name) { return name >> 32 == 0x571D571D; }

/// A name with one number beyond what f16 holds in each key and each value.
inline token_name outsize(std::uint32_t which) { return token_name{0x00F160F1} << 32 | which; }
inline bool is_outsize(token_name name) { return name >> 32 == 0x00F160F1; }

inline std::uint64_t mix(std::uint64_t x) {  // SplitMix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Random numbers for the tests' own choices.
struct dice {
  std::uint64_t state;
  std::uint64_t next() { return state = mix(state); }
  /// Uniform in [low, high], up to a bias nobody sees.
  std::size_t within(std::size_t low, std::size_t high) { return low + next() % (high - low + 1); }
  bool one_in(std::size_t n) { return next() % n == 0; }
  template <class T, std::size_t N>
  T pick(const T (&from)[N]) {
    return from[next() % N];
  }
};

/// How probable a token is said to have been, nats: below 0.
inline float log_probability_of(token_name name) {
  return -static_cast<float>(mix(name ^ 0x5EED) >> 40) * 0x1p-22f;
}
/// Its kind: one of two.
inline std::uint8_t kind_of(token_name name) { return static_cast<std::uint8_t>(mix(name) % 2); }

/// What a step feeds to one layer: q `[row, q_head, head_dim]`, k and v `[row, kv_head, head_dim]`.
struct layer_rows {
  std::vector<float> q, k, v, out;
};

/// Fills `rows` for `names` in `layer`, reusing its memory. Key lengths differ by up to e³ between
/// tokens and heads, so that scores that look at them have something to see.
inline void make_rows(const kv_shape& shape, std::span<const token_name> names, std::size_t layer,
                      layer_rows& rows) {
  const std::size_t q_row = shape.q_heads * shape.head_dim,
                    kv_row = shape.kv_heads * shape.head_dim;
  rows.q.resize(names.size() * q_row);
  rows.out.assign(names.size() * q_row, 0.0f);
  rows.k.resize(names.size() * kv_row);
  rows.v.resize(names.size() * kv_row);
  for (std::size_t r = 0; r < names.size(); ++r) {
    std::uint64_t state = mix(names[r] * 64 + layer);
    const auto number = [&] {  // uniform on [-1.7, 1.7): variance about 1
      state = mix(state);
      return static_cast<float>(static_cast<double>(state >> 11) * 0x1p-53 * 3.4 - 1.7);
    };
    for (std::size_t i = 0; i < q_row; ++i) rows.q[r * q_row + i] = number();
    for (std::size_t h = 0; h < shape.kv_heads; ++h) {
      const float length = static_cast<float>(elementary::exp(number() * 0.8));
      for (std::size_t i = 0; i < shape.head_dim; ++i) {
        rows.k[r * kv_row + h * shape.head_dim + i] = number() * length;
        rows.v[r * kv_row + h * shape.head_dim + i] = number();
      }
    }
    if (is_outsize(names[r]))
      for (std::size_t h = 0; h < shape.kv_heads; ++h) {  // the last element never turns, or little
        const std::size_t last = r * kv_row + (h + 1) * shape.head_dim - 1;
        rows.k[last] = -1e5f, rows.v[last] = 2e5f;
      }
    if (is_wild(names[r])) {
      constexpr float none = std::numeric_limits<float>::quiet_NaN(),
                      infinity = std::numeric_limits<float>::infinity(), large = 3e38f;
      const float numbers[] = {none, infinity, -infinity, large, -large};
      state = mix(state);
      const float chosen = numbers[state % 5];
      std::vector<float>& to = state / 5 % 3 == 0 ? rows.q : state / 5 % 3 == 1 ? rows.k : rows.v;
      const std::size_t row = to.size() / names.size();
      to[r * row + state / 15 % row] = chosen;
    }
    if ((names[r] & poison) == 0) continue;
    for (std::size_t i = 0; i < kv_row; ++i) {
      rows.k[r * kv_row + i] = std::numeric_limits<float>::infinity();
      rows.v[r * kv_row + i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

}  // namespace weir::inline WEIR_TARGET::testing
