// Models whose keys and values are beyond f16: the same function, and so the same text, with every
// codec; or an error, or a count.
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include <weir/kernels/product_kernels.hpp>
#include <weir/presets.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::ids, weir_test::prompt, weir_test::small;

/// The bundled model with other weights, which are the same function.
struct scaled_model {
  llama_model model = load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  std::deque<std::vector<float>> weights;

  /// Keys times `key`, values times `value`; queries and outputs divided by them.
  scaled_model(float key, float value) {
    for (llama_layer_weights& layer : model.weights.layers) {
      scale(layer.q, 1 / key);
      scale(layer.k, key);
      scale(layer.v, value);
      scale(layer.o, 1 / value);
    }
    model.kv_ranges = read_kv_ranges(model.weights, model.config);
  }
  scaled_model(const scaled_model&) = delete;

 private:
  void scale(matrix_view& m, float by) {
    std::vector<float>& w = weights.emplace_back(m.rows * m.cols);
    for (std::size_t r = 0; r < m.rows; ++r)
      kernels<product_kernels>().load_row(m, r, w.data() + r * m.cols);
    for (float& x : w) x *= by;
    m = {weight_type::f32, m.rows, m.cols, reinterpret_cast<const std::byte*>(w.data())};
  }
};

template <class Cache>
std::vector<token_id> generated(const llama_model& model, keep_of<Cache> keep,
                                overflow rule = overflow::scale, std::uint64_t* cut = nullptr) {
  stream_decoder<Cache> decoder(model, keep,
                                {.sample = {.temperature = 0}, .stream = {.on_overflow = rule}});
  const auto out = ids(decoder, prompt, 40);
  if (cut != nullptr) *cut = decoder.cache().stats().cut;
  return out;
}

template <class Codec>
void check_same_text() {
  using cache = kv_cache<Codec, keep<sinks, window>>;
  const scaled_model same(1, 1);
  const auto expected = generated<cache>(same.model, small);
  const std::pair<float, float> scales[] = {
      {0x1p20f, 1}, {0x1p-20f, 1}, {1, 0x1p20f}, {0x1p-25f, 0x1p40f}};
  for (const auto& [key, value] : scales) {
    INFO("keys times " << key << ", values times " << value);
    const scaled_model scaled(key, value);
    std::uint64_t cut = 1;
    CHECK(generated<cache>(scaled.model, small, overflow::scale, &cut) == expected);
    CHECK(cut == 0);
    using h2o_cache = kv_cache<Codec, presets::h2o, positions::original, layouts::paged>;
    const auto h2o = presets::recipes::h2o::of({.entries = 60});
    CHECK(generated<h2o_cache>(scaled.model, h2o) == generated<h2o_cache>(same.model, h2o));
  }
}

using window_cache = kv_cache<f16, keep<sinks, window>>;

}  // namespace

TEST_CASE("a model's keys and values may be of any size: f32") { check_same_text<f32>(); }
TEST_CASE("a model's keys and values may be of any size: f16") { check_same_text<f16>(); }
TEST_CASE("a model's keys and values may be of any size: bf16") { check_same_text<bf16>(); }
TEST_CASE("a model's keys and values may be of any size: int8") { check_same_text<int8>(); }
TEST_CASE("a model's keys and values may be of any size: int4") { check_same_text<int4>(); }

TEST_CASE("numbers beyond the codec can be refused, or cut and counted") {
  const scaled_model scaled(0x1p20f, 1);
  weir_test::require_refused<error::overflow>(
      [&] { generated<window_cache>(scaled.model, small, overflow::refuse); },
      {"beyond 65504", "expected overflow::scale"});
  std::uint64_t cut = 0;
  generated<window_cache>(scaled.model, small, overflow::warn, &cut);
  CHECK(cut > 0);
  CHECK(generated<window_cache>(bundled(), small, overflow::refuse) ==
        generated<window_cache>(bundled(), small));
}

TEST_CASE("ranges bound what a model makes of any token") {
  REQUIRE(bundled().kv_ranges.size() ==
          bundled().config.block_count * bundled().config.head_count_kv);
  // No scale is needed, so that usual models have the bits that they always had.
  for (const kv_range& r : bundled().kv_ranges) {
    CHECK(kv_scales::exponent(r.key) == 0);
    CHECK(kv_scales::exponent(r.value) == 0);
  }
  kv_cache<f32, keep_all> cache(shape_of(bundled().config), keep_all{512}, {.max_rows = 64});
  llama_pass pass(bundled().config, bundled().weights, 64);
  std::vector<token_id> tokens;
  for (token_id i = 0; i < 64; ++i) tokens.push_back(i * 7 + 3);
  const std::vector<row> rows(tokens.size());
  auto step = cache.begin(rows);
  executor alone;
  const std::size_t heads = bundled().config.head_count_kv, dim = bundled().config.head_dim;
  float most = 0;
  const std::size_t n = tokens.size(), q_floats = n * bundled().config.head_count * dim,
                    kv_floats = n * heads * dim;
  const auto attend = [&](std::size_t layer, const float* q, const float* k, const float* v,
                          float* out) {
    for (std::size_t i = 0; i < kv_floats; ++i) {
      const kv_range r = bundled().kv_ranges[layer * heads + i / dim % heads];
      REQUIRE(std::abs(k[i]) <= r.key);
      REQUIRE(std::abs(v[i]) <= r.value);
      most = std::max({most, std::abs(k[i]) / r.key, std::abs(v[i]) / r.value});
    }
    step.attend(layer, {q, q_floats}, {k, kv_floats}, {v, kv_floats}, {out, q_floats});
  };
  pass.forward(tokens, attend, alone);
  step.commit();
  CHECK(most > 0.01f);  // and not by far
}
