// Rotary position embedding. Su et al., "RoFormer", arXiv 2104.09864, section 3.2.
//
// Angles are fixed point: a turn is 2^64, so phase(index) = index × step mod 2^64 is exactly
// additive, and as exact at index ten billion as at ten, where float angles lose every digit.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/index.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Which elements of a head turn together.
enum class rope_pairing : std::uint8_t {
  interleaved,  ///< (2i, 2i+1): RoFormer, and llama models in GGUF order
  half_split,   ///< (i, i + dims/2): NeoX, and llama models in Hugging Face order
};

/// The least base: with a smaller one a pair would turn more than 2^52 times between two positions,
/// more than an angle is held to.
inline constexpr double least_rope_base = 0x1p-52;

/// What a model rotates by. `dims == 0`: weir rotates nothing (no RoPE, or the model does it).
struct rope_shape {
  std::size_t dims = 0;  ///< leading elements of a head that turn; even, at most head_dim
  double base = 10000;   ///< finite, at least least_rope_base
  rope_pairing pairing = rope_pairing::interleaved;

  /// The two elements of a head that make up pair i of dims / 2.
  constexpr std::pair<std::size_t, std::size_t> elements(std::size_t i) const {
    if (pairing == rope_pairing::interleaved) return {2 * i, 2 * i + 1};
    return {i, i + dims / 2};
  }
};

/// Of one angle.
struct cosine_and_sine {
  float cos, sin;
};

/// The angles of one `rope_shape`.
class rope_angles {
 public:
  rope_angles() = default;

  /// O(dims). Pair i turns by base^(−2i/dims) radians a position.
  explicit rope_angles(rope_shape shape);

  std::size_t pairs() const { return step_.size(); }
  const rope_shape& shape() const { return shape_; }

  /// Fraction of a turn, in units of 2^−64, of pair i at `p`. Additive mod 2^64.
  std::uint64_t phase(std::size_t i, position p) const { return p.value * step_[i]; }

  /// Cosine and sine of pair i's angle at `p`, correctly rounded to f32 but for the last bit of
  /// f64.
  cosine_and_sine cos_sin(std::size_t i, position p) const {
    const auto [c, s] = elementary::cos_sin_of_turn(phase(i, p));
    return {static_cast<float>(c), static_cast<float>(s)};
  }

  /// The factors of one position as `rotate` kernels want them, `[dims]` each: element e becomes
  /// in[e] · cos[e] + in[partner of e] · sin[e]. The sine's sign is that of the element.
  void factors(position p, float* cos, float* sin) const;
  /// The factors of pair i from its cosine and sine.
  void set_factors(std::size_t i, float c, float s, float* cos, float* sin) const;

 private:
  rope_shape shape_;
  std::vector<std::uint64_t> step_;  // [pair]
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/kernels/rope.inl.hpp>
#endif
