// Attention over thousands of tokens against a computation in double, and what a codec loses.
#include <weir/kernels/cpu/attention.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <weir/kernels/cpu/encode.hpp>
#include <weir/kernels/cpu/merge.hpp>
#include "support/catch.hpp"

namespace {

using namespace weir;

constexpr std::size_t head_dim = 128, group = 4;

/// One KV head that holds `tokens` random entries, and the query heads that share it.
template <class Codec>
struct filled_head {
  using tiles = kv_tiles<Codec>;
  std::size_t tokens;
  std::vector<float> raw_keys, raw_values, query;  // [token or row, head_dim]
  std::vector<typename tiles::storage> keys, values;

  explicit filled_head(std::size_t n)
      : tokens(n),
        raw_keys(n * head_dim),
        raw_values(n * head_dim),
        query(group * head_dim),
        keys((n + 31) / 32 * tiles::key_size(head_dim)),
        values((n + 31) / 32 * tiles::value_size(head_dim)) {
    std::mt19937 rng(9);
    std::normal_distribution<float> normal;
    for (auto* x : {&raw_keys, &raw_values, &query})
      for (float& e : *x) e = normal(rng);
    for (float& q : query) q /= std::sqrt(float{head_dim});
    for (std::size_t i = 0; i < n; ++i) {
      encode_key<Codec>(key_tile(i), i % 32, &raw_keys[i * head_dim], head_dim, {});
      encode_value<Codec>(value_tile(i), i % 32, &raw_values[i * head_dim], head_dim);
    }
  }
  auto* key_tile(std::size_t i) { return keys.data() + i / 32 * tiles::key_size(head_dim); }
  auto* value_tile(std::size_t i) { return values.data() + i / 32 * tiles::value_size(head_dim); }

  /// What the kernel makes of it, split by split: `[row, head_dim]`.
  std::vector<float> attend() {
    attention_block<Codec> block{
        .keys = keys.data(), .values = values.data(), .head_dim = head_dim};
    std::vector<float> out(group * head_dim), o(group * head_dim), part_o(group * head_dim);
    std::vector<attention_state> total(group), part(group);
    for (std::size_t r = 0; r < group; ++r) {
      block.query[0][r] = &query[r * head_dim];
      total[r].o = &o[r * head_dim];
    }
    visit_list plan;
    for (std::size_t split = 0; split * split_lanes < tokens; ++split) {
      plan.clear();
      for (std::size_t t = split * split_tiles; t < (split + 1) * split_tiles; ++t) {
        if (t * 32 >= tokens) break;
        plan.open(0);
        const std::size_t n = std::min<std::size_t>(32, tokens - t * 32);
        plan.piece(static_cast<std::uint32_t>(t)).live[0] = n == 32 ? ~0u : (1u << n) - 1;
        plan.drop_if_empty();
      }
      std::fill(part_o.begin(), part_o.end(), 0.0f);
      for (std::size_t r = 0; r < group; ++r) part[r] = {.o = &part_o[r * head_dim]};
      cpu::fold(block, plan, part.data(), group);
      for (std::size_t r = 0; r < group; ++r) merge(total[r], part[r], head_dim);
    }
    for (std::size_t r = 0; r < group; ++r) finish(total[r], &out[r * head_dim], head_dim);
    return out;
  }

  /// Softmax attention in double over keys and values as `key(i, k)` and `value(i, k)` give them.
  template <class Key, class Value>
  std::vector<double> exact(Key key, Value value) const {
    std::vector<double> out(group * head_dim);
    for (std::size_t r = 0; r < group; ++r) {
      double sum = 0;
      for (std::size_t i = 0; i < tokens; ++i) {
        double score = 0;
        for (std::size_t k = 0; k < head_dim; ++k)
          score += double{query[r * head_dim + k]} * double{key(i, k)};
        const double weight = std::exp(score);
        sum += weight;
        for (std::size_t k = 0; k < head_dim; ++k)
          out[r * head_dim + k] += weight * double{value(i, k)};
      }
      for (std::size_t k = 0; k < head_dim; ++k) out[r * head_dim + k] /= sum;
    }
    return out;
  }
  std::vector<double> over_decoded() {
    return exact(
        [&](std::size_t i, std::size_t k) { return tiles::key(key_tile(i), head_dim, i % 32, k); },
        [&](std::size_t i, std::size_t k) {
          return tiles::value(value_tile(i), head_dim, i % 32, k);
        });
  }
  std::vector<double> over_raw() const {
    return exact([&](std::size_t i, std::size_t k) { return raw_keys[i * head_dim + k]; },
                 [&](std::size_t i, std::size_t k) { return raw_values[i * head_dim + k]; });
  }
};

/// ‖a − b‖ / ‖b‖
double relative_error(const std::vector<float>& a, const std::vector<double>& b) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("f32 attention stays close to double, however long the context") {
  for (const std::size_t tokens : {1u, 31u, 512u, 4096u})
    REQUIRE(relative_error(filled_head<f32>(tokens).attend(),
                           filled_head<f32>(tokens).over_raw()) <= 2e-6);
  for (const std::size_t tokens : {16384u, 32768u})
    REQUIRE(relative_error(filled_head<f32>(tokens).attend(),
                           filled_head<f32>(tokens).over_raw()) <= 1e-5);
}

TEST_CASE("16-bit caches lose what their rounding loses") {
  for (const std::size_t tokens : {33u, 4096u}) {
    filled_head<f16> half(tokens);
    REQUIRE(relative_error(half.attend(), half.over_raw()) <= 1e-3);
    REQUIRE(relative_error(half.attend(), half.over_decoded()) <= 2e-6);
    filled_head<bf16> brain(tokens);
    REQUIRE(relative_error(brain.attend(), brain.over_raw()) <= 8e-3);
    REQUIRE(relative_error(brain.attend(), brain.over_decoded()) <= 2e-6);
  }
}

TEMPLATE_TEST_CASE("integer caches lose next to nothing but what their codes lose", "", int8,
                   int4) {
  for (const std::size_t tokens : {1u, 33u, 4096u}) {
    filled_head<TestType> head(tokens);
    const double error = relative_error(head.attend(), head.over_decoded());
    REQUIRE(error * error <= 1e-4);  // queries are rounded to 8 bits, weights to 15
  }
}

TEMPLATE_TEST_CASE("codes are as fine as their bits", "", int8, int4) {
  // Normalised mean squared error of normally distributed elements.
  filled_head<TestType> head(2000);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < head.tokens; ++i)
    for (std::size_t k = 0; k < head_dim; ++k) {
      const double x = head.raw_keys[i * head_dim + k];
      const double e = kv_tiles<TestType>::key(head.key_tile(i), head_dim, i % 32, k) - x;
      error += e * e;
      size += x * x;
    }
  REQUIRE(error / size <= (std::is_same_v<TestType, int8> ? 5e-5 : 9.4e-3));
}

TEST_CASE("int8: the worked example") {
  constexpr std::size_t dim = 4;
  const float x[dim] = {0.5f, -1.27f, 0.02f, 1.0f};
  std::vector<std::int8_t> tile(kv_tiles<int8>::key_size(dim));
  encode_key<int8>(tile.data(), 5, x, dim, {});
  const int codes[dim] = {50, -127, 2, 100};
  for (std::size_t k = 0; k < dim; ++k) {
    REQUIRE(kv_tiles<int8>::key_code(tile.data(), 5, k) == codes[k]);
    REQUIRE(kv_tiles<int8>::key(tile.data(), dim, 5, k) == Approx(0.01 * codes[k]));
  }
}

TEMPLATE_TEST_CASE("a lane's bytes are its own, and move as they are", "", int8, int4) {
  using tiles = kv_tiles<TestType>;
  for (const std::size_t dim : {7u, 32u, 80u}) {
    std::mt19937 rng(3);
    std::normal_distribution<float> normal;
    std::vector<std::vector<float>> x(32, std::vector<float>(dim));
    std::vector<std::int8_t> keys(tiles::key_size(dim)), values(tiles::value_size(dim)),
        other_keys = keys, other_values = values;
    for (std::size_t lane = 0; lane < 32; ++lane) {  // every lane is written among its neighbours
      for (float& e : x[lane]) e = normal(rng);
      encode_key<TestType>(keys.data(), lane, x[lane].data(), dim, {});
      encode_value<TestType>(values.data(), lane, x[lane].data(), dim);
    }
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t to = (lane * 7 + 3) % 32;
      tiles::copy_key(keys.data(), lane, other_keys.data(), to, dim);
      tiles::copy_value(values.data(), lane, other_values.data(), to, dim);
    }
    for (std::size_t lane = 0; lane < 32; ++lane)
      for (std::size_t k = 0; k < dim; ++k) {
        const float key = tiles::key(keys.data(), dim, lane, k);
        const float most = *std::max_element(x[lane].begin(), x[lane].end(), [](float a, float b) {
          return std::abs(a) < std::abs(b);
        });
        REQUIRE(std::abs(key - x[lane][k]) <=
                std::abs(most) / (std::is_same_v<TestType, int8> ? 250.0f : 7.9f));
        REQUIRE(tiles::value(values.data(), dim, lane, k) == key);
        const std::size_t to = (lane * 7 + 3) % 32;
        REQUIRE(tiles::key(other_keys.data(), dim, to, k) == key);
        REQUIRE(tiles::value(other_values.data(), dim, to, k) == key);
      }
  }
}

TEMPLATE_TEST_CASE("what is no number stays none, and a zero vector zero", "", int8, int4) {
  using tiles = kv_tiles<TestType>;
  constexpr std::size_t dim = 32;
  std::vector<std::int8_t> tile(tiles::value_size(dim));
  std::vector<float> x(dim);
  encode_value<TestType>(tile.data(), 0, x.data(), dim);
  for (std::size_t k = 0; k < dim; ++k) REQUIRE(tiles::value(tile.data(), dim, 0, k) == 0);
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    x[3] = bad;
    encode_value<TestType>(tile.data(), 1, x.data(), dim);
    REQUIRE(std::isnan(tiles::value(tile.data(), dim, 1, 3)));
  }
}

TEMPLATE_TEST_CASE("finite numbers beyond a codec become its largest, and are counted", "", f32,
                   f16, bf16, int8, int4) {
  using tiles = kv_tiles<TestType>;
  constexpr float most = largest_held<TestType>, beyond = std::numeric_limits<float>::max();
  constexpr bool holds_all = std::is_same_v<TestType, f32>;
  for (const std::size_t dim : {1u, 7u, 16u, 31u, 33u, 64u, 65u, 128u}) {
    std::vector<typename tiles::storage> keys(tiles::key_size(dim)), values(tiles::value_size(dim));
    for (std::size_t at = 0; at < dim; ++at)
      for (const float sign : {1.0f, -1.0f}) {
        std::vector<float> x(dim, most);
        x[at] = sign * beyond;
        REQUIRE(encode_key<TestType>(keys.data(), 3, x.data(), dim, {}) == (holds_all ? 0 : 1));
        REQUIRE(encode_value<TestType>(values.data(), 3, x.data(), dim) == (holds_all ? 0 : 1));
        for (std::size_t k = 0; k < dim; ++k) {
          // int4 has a code more below 0 than above.
          const float expected = k == at ? sign * (holds_all ? beyond : most) : most;
          const float key = tiles::key(keys.data(), dim, 3, k);
          REQUIRE(std::isfinite(key));
          REQUIRE(std::abs(key - expected) <=
                  (std::is_same_v<TestType, int4> ? most / 7.9f : most * 1e-6f));
          REQUIRE(tiles::value(values.data(), dim, 3, k) == key);
        }
        // Infinity is none of them: it stays what it is.
        x[at] = sign * std::numeric_limits<float>::infinity();
        REQUIRE(encode_value<TestType>(values.data(), 3, x.data(), dim) == 0);
        REQUIRE(!std::isfinite(tiles::value(values.data(), dim, 3, at)));
      }
  }
}
