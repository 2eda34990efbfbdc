// Keys and values of one codec, and attention over them: what a cache asks of an architecture.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/kernels/visits.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/attention.hpp>
#include <weir/kernels/cpu/encode.hpp>
#include <weir/kernels/cpu/merge.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See the functions of the same names in kernels/cpu/: encode.hpp, attention.hpp, merge.hpp.
template <class Codec>
struct attention_kernels {
  static constexpr std::size_t number = 4 + codec_number<Codec>;
  using storage = typename kv_tiles<Codec>::storage;

  /// `copy` `[head_dim]` is null for codecs that are no numbers.
  std::size_t (*encode_key)(storage* tile, std::size_t lane, const float* x, std::size_t head_dim,
                            const rope_shape& rope, storage* copy);
  std::size_t (*encode_value)(storage* tile, std::size_t lane, const float* x,
                              std::size_t head_dim);
  void (*decode_key)(const storage* tile, std::size_t head_dim, std::size_t lane, float* out);
  void (*decode_value)(const storage* tile, std::size_t head_dim, std::size_t lane, float* out);
  /// Null for codecs that are no numbers.
  void (*decode)(const storage* stored, std::size_t n, float* out);
  void (*fold)(const attention_block<Codec>& block, const visit_list& plan, attention_state* state,
               std::size_t rows);
  void (*merge)(attention_state& into, const attention_state& from, std::size_t n);
};

#if !defined(WEIR_COMPILED)
template <class Codec, class A>
struct kernel_group<attention_kernels<Codec>, A> {
  using table = attention_kernels<Codec>;
  static constexpr table value{
      .encode_key =
          [](auto* tile, std::size_t lane, const float* x, std::size_t head_dim,
             const rope_shape& rope, [[maybe_unused]] auto* copy) {
            if constexpr (storage_number<Codec>)
              return encode_key<Codec, A>(tile, lane, x, head_dim, rope, copy);
            else
              return encode_key<Codec, A>(tile, lane, x, head_dim, rope);
          },
      .encode_value = &encode_value<Codec, A>,
      .decode_key = &decode_key<Codec, A>,
      .decode_value = &decode_value<Codec, A>,
      .decode =
          [] {
            decltype(table::decode) numbers = nullptr;
            if constexpr (storage_number<Codec>) numbers = &decode<A, Codec>;
            return numbers;
          }(),
      .fold = [](const attention_block<Codec>& block, const visit_list& plan,
                 attention_state* state,
                 std::size_t rows) { cpu::fold<A>(block, plan, state, rows); },
      .merge = &merge<A>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
