// The element types that a GGUF file may hold, and how large they are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Type ids as stored in files. These are the ones that weir computes with; the container may hold
/// any other valid one.
enum class ggml_type : std::uint32_t {
  float32 = 0,
  float16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bfloat16 = 30,
};

struct ggml_type_layout {
  std::string_view name;       ///< empty for ids that are removed or unknown
  std::uint32_t elements = 0;  ///< in one block
  std::uint32_t bytes = 0;     ///< of one block
};

namespace detail {

// The position is the type id. 4, 5, 31 … 33 and 36 … 38 were removed from the format.
inline constexpr auto ggml_layouts = std::to_array<ggml_type_layout>({
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {},
    {},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},
    {"Q8_1", 32, 36},
    {"Q2_K", 256, 84},
    {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
    {"Q8_K", 256, 292},
    {"IQ2_XXS", 256, 66},
    {"IQ2_XS", 256, 74},
    {"IQ3_XXS", 256, 98},
    {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18},
    {"IQ3_S", 256, 110},
    {"IQ2_S", 256, 82},
    {"IQ4_XS", 256, 136},
    {"I8", 1, 1},
    {"I16", 1, 2},
    {"I32", 1, 4},
    {"I64", 1, 8},
    {"F64", 1, 8},
    {"IQ1_M", 256, 56},
    {"BF16", 1, 2},
    {},
    {},
    {},
    {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66},
    {},
    {},
    {},
    {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},
    {"Q1_0", 128, 18},
});

}  // namespace detail

/// The layout of a type id, or null when the id is unknown or was removed.
constexpr const ggml_type_layout* layout_of(ggml_type type) {
  const auto id = static_cast<std::uint32_t>(type);
  if (id >= detail::ggml_layouts.size() || detail::ggml_layouts[id].elements == 0) return nullptr;
  return &detail::ggml_layouts[id];
}

/// Whether weir can compute with weights of this type.
constexpr bool is_supported(ggml_type type) {
  switch (type) {
    case ggml_type::float32:
    case ggml_type::float16:
    case ggml_type::q4_0:
    case ggml_type::q4_1:
    case ggml_type::q5_0:
    case ggml_type::q5_1:
    case ggml_type::q8_0:
    case ggml_type::q4_k:
    case ggml_type::q5_k:
    case ggml_type::q6_k:
    case ggml_type::bfloat16:
      return true;
  }
  return false;
}

}  // namespace weir::inline WEIR_TARGET
