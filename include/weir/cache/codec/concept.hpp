// Codecs: how a key or value is written in memory.
//
// A member is the storage scalar itself. It must provide
//   round_to<T>(float) -> T        encode one element; each token by itself, at once
//   simd::load<A>(const T*)        decode one register of elements, exactly, inside the dot product
//   to_float(T)                    decode one element, exactly; defines the former
// Members: f32, f16, bf16 (core/half.hpp). Cost per element of cache: sizeof(T) bytes.
#pragma once

#include <concepts>

#include <weir/core/half.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

template <class T>
concept kv_codec = std::is_trivially_copyable_v<T> && requires(const T* p, float x) {
  { round_to<T>(x) } -> std::same_as<T>;
  { to_float(*p) } -> std::same_as<float>;
  { simd::load<simd::native>(p) } -> std::same_as<simd::floats<simd::native>>;
};

static_assert(kv_codec<f32> && kv_codec<f16> && kv_codec<bf16> && !kv_codec<int>);

}  // namespace weir
