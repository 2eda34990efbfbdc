// Functions of numbers: what kernels, positions, policies and samplers are made of.
#include <string>
#include <utility>
#include <vector>

#include <weir/cache/eviction/query_centres.hpp>
#include <weir/core/half.hpp>
#include <weir/core/philox.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/simd/log2.hpp>
#include <weir/simd/random.hpp>
#include <weir/simd/simd.hpp>

#include "record.hpp"
#include "support/random_weights.hpp"

namespace weir_record {

namespace {

using arch = weir::simd::native;
using weir_test::random_floats;

void record_functions(record& out) {
  constexpr std::size_t lanes = weir::simd::lanes<arch>;
  const std::size_t n = 1 << 14;
  const auto x = random_floats(n, 1, 100);
  bit_hash exp, exp_lanes, log2, noise, half;
  float y[lanes];
  for (std::size_t i = 0; i < n; i += lanes) {
    weir::simd::store<arch>(y, weir::simd::exp<arch>(weir::simd::load<arch>(&x[i])));
    exp_lanes.add(y);
  }
  for (std::size_t i = 0; i < n; ++i) {
    exp.add(weir::simd::exp(x[i]));
    log2.add(weir::simd::log2(x[i] * x[i] + 1e-6f));
    noise.add(weir::simd::gumbel_bits(static_cast<std::uint32_t>(i * 262144 + 7)));
    half.add(weir::to_float(weir::to_f16(x[i] * x[i] * x[i])));
    half.add(weir::to_float(weir::to_bf16(x[i])));
  }
  out.write("number exp", exp);
  out.write("number exp lanes", exp_lanes);
  out.write("number log2", log2);
  out.write("number gumbel", noise);
  out.write("number halves", half);
}

void record_positions(record& out) {
  for (const std::size_t dims : {16u, 64u, 96u, 128u})
    for (const double base : {10000.0, 500000.0, 1e6}) {
      const weir::rope_angles angles({.dims = dims, .base = base});
      bit_hash phases, turns;
      for (std::size_t i = 0; i < angles.pairs(); ++i)
        for (const std::uint64_t p : {1ull, 511ull, 4097ull, 1000003ull, 1ull << 40}) {
          phases.add(angles.phase(i, weir::position{p}));
          const auto [c, s] = angles.cos_sin(i, weir::position{p});
          turns.add(c), turns.add(s);
        }
      const std::string name =
          "number rope " + std::to_string(dims) + " " + std::to_string(static_cast<int>(base));
      out.write(name + " phases", phases);
      out.write(name + " turns", turns);
    }
}

void record_calibration(record& out) {
  const weir::kv_shape shape{.layers = 1,
                             .q_heads = 2,
                             .kv_heads = 1,
                             .head_dim = 64,
                             .rope = {.dims = 64, .base = 10000}};
  weir::query_centre_sums sums(shape);
  for (std::size_t i = 0; i < 20; ++i) sums.add(0, random_floats(2 * 64, 40 + i, 2));
  bit_hash hash;
  for (const char c : sums.centres().bytes())
    hash.add(static_cast<std::uint32_t>(static_cast<unsigned char>(c)));
  out.write("number calibration", hash);
}

void record_samplers(record& out) {
  const std::pair<const char*, weir::sampling> options[] = {
      {"temperature", {.temperature = 0.8f}},
      {"top-k", {.temperature = 1.1f, .top_k = 40}},
      {"top-p", {.temperature = 1, .top_p = 0.9f}},
      {"min-p", {.temperature = 1.5f, .min_p = 0.05f}},
      {"penalties",
       {.temperature = 0.7f,
        .repetition_penalty = 1.2f,
        .presence_penalty = 0.3f,
        .frequency_penalty = 0.1f}},
      {"gumbel", {.temperature = 0.9f, .draw = weir::draw_rule::gumbel}},
      {"gumbel top-p", {.temperature = 0.9f, .top_p = 0.95f, .draw = weir::draw_rule::gumbel}}};
  constexpr std::size_t vocabulary = 1003;
  for (const auto& [name, how] : options) {
    weir::sampler sampler(how, vocabulary);
    bit_hash left, drawn;
    for (std::size_t i = 0; i < 50; ++i) {
      const auto logits = random_floats(vocabulary, 7 + i, 9);
      for (const auto& token : sampler.distribution(logits)) {
        left.add(static_cast<std::uint64_t>(token.token));
        left.add(token.probability);
      }
      const weir::token_id id = sampler(logits, {25, 3}, i);
      drawn.add(static_cast<std::uint64_t>(id));
      sampler.push(id);
    }
    out.write(std::string("number sampler ") + name + " distribution", left);
    out.write(std::string("number sampler ") + name + " drawn", drawn);
  }
  bit_hash told;
  for (std::size_t i = 0; i < 50; ++i)
    told.add(
        weir::log_probability(random_floats(vocabulary, 7 + i, 9), static_cast<weir::token_id>(i)));
  out.write("number log probability", told);
}

}  // namespace

void record_numbers(record& out) {
  record_functions(out);
  record_positions(out);
  record_calibration(out);
  record_samplers(out);
}

}  // namespace weir_record
