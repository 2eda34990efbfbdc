// The SIMD attention kernel gives the bits of the reference, whatever is live, and the reference
// gives attention.
#include <weir/kernels/cpu/attention.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <weir/kernels/cpu/encode.hpp>
#include <weir/kernels/cpu/merge.hpp>
#include <weir/kernels/reference/attention.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"

namespace {

using namespace weir;

/// A head with tiles of random keys and values, and a random plan over them.
template <class Codec>
struct scene {
  using format = kv_tiles<Codec>;
  static constexpr std::size_t tiles = 6, ranks = 64;
  std::size_t head_dim, padded = padded_head_dim(head_dim);
  std::vector<typename format::storage> keys, values;
  std::vector<float> query;  // [variant, row, head_dim]
  std::vector<float> cos, sin;
  std::vector<std::uint32_t> rank;
  rotate_on_read rotation;
  attention_block<Codec> block;
  visit_list plan;
  std::mt19937 rng;

  explicit scene(std::size_t dim, unsigned seed, bool rotated, bool interleaved)
      : head_dim(dim),
        keys(tiles * format::key_size(dim)),
        values(tiles * format::value_size(dim)),
        query(2 * max_block_rows * dim),
        rank(tiles * 32),
        rng(seed) {
    std::normal_distribution<float> normal;
    std::vector<float> key(dim), value(dim);
    for (std::size_t i = 0; i < tiles * 32; ++i) {
      for (auto& x : key) x = normal(rng);
      for (auto& x : value) x = normal(rng);
      encode_key<Codec>(keys.data() + i / 32 * format::key_size(dim), i % 32, key.data(), dim, {});
      put_value(i, value);
    }
    for (auto& x : query) x = normal(rng);
    const std::size_t pairs = dim / 2;
    cos.resize(pairs * ranks);
    sin.resize(pairs * ranks);
    for (std::size_t i = 0; i < cos.size(); ++i) {
      const double angle = std::uniform_real_distribution<>(-3, 3)(rng);
      cos[i] = static_cast<float>(std::cos(angle));
      sin[i] = static_cast<float>(std::sin(angle));
    }
    for (std::size_t i = 0; i < rank.size(); ++i)  // some tiles in runs, some scattered
      rank[i] = i / 32 % 2 == 0 ? static_cast<std::uint32_t>(i % 32 + 3)
                                : static_cast<std::uint32_t>(rng() % ranks);
    rotation = {cos.data(), sin.data(), ranks, pairs, interleaved};
    block.keys = keys.data();
    block.values = values.data();
    block.head_dim = dim;
    for (std::size_t v = 0; v < 2; ++v)
      for (std::size_t r = 0; r < max_block_rows; ++r)
        block.query[v][r] = query.data() + (v * max_block_rows + r) * dim;
    if (rotated) block.rotation = &rotation, block.rank = rank.data();
  }

  void put_value(std::size_t i, const std::vector<float>& value) {
    encode_value<Codec>(values.data() + i / 32 * format::value_size(head_dim), i % 32, value.data(),
                        head_dim);
  }

  /// Visits with full, sparse and empty masks, some made of several pieces that share lanes
  /// between rows but never within one.
  void draw_plan(std::size_t step_rows) {
    plan.clear();
    for (std::size_t v = 0; v < 5; ++v) {
      plan.open(static_cast<std::uint8_t>(rng() % 2));
      std::uint32_t taken[max_block_rows] = {};
      for (std::size_t p = 0; p < 1 + rng() % 3; ++p) {
        visit_piece& piece = plan.piece(static_cast<std::uint32_t>((v + p) % tiles));
        for (std::size_t r = 0; r < step_rows; ++r) {
          const std::uint32_t kind = rng() % 4;
          std::uint32_t live = kind == 0   ? ~0u
                               : kind == 1 ? 0u
                               : kind == 2 ? 1u << rng() % 32
                                           : static_cast<std::uint32_t>(rng());
          live &= ~taken[r];
          piece.live[r] |= live;
          taken[r] |= live;
        }
      }
      plan.drop_if_empty();
    }
  }
};

template <class A, class Codec>
void expect_reference_bits(std::size_t head_dim, std::size_t rows, unsigned seed, bool rotated,
                           bool interleaved, bool poison) {
  scene<Codec> s(head_dim, seed, rotated, interleaved);
  const std::size_t step_rows = 1 + seed % max_block_rows;
  for (std::size_t r = 0; r < max_block_rows; ++r)
    s.block.step_row[r] = static_cast<std::uint8_t>(r * step_rows / max_block_rows);
  s.draw_plan(step_rows);
  if (poison) {  // dead lanes hold what a cache may hold: anything
    std::vector<bool> read(scene<Codec>::tiles * 32);
    for (const auto& v : s.plan.visits())
      for (const auto& p : s.plan.pieces(v))
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t l = 0; l < 32; ++l)
            if ((p.live[s.block.step_row[r]] >> l & 1u) != 0) read[p.tile * 32 + l] = true;
    const std::vector<float> bad(head_dim, std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < read.size(); ++i)
      if (!read[i]) s.put_value(i, bad);
  }
  std::vector<float> o(rows * s.padded), expected_o(rows * s.padded);
  std::vector<attention_state> state(rows), expected(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    state[r].o = o.data() + r * s.padded;
    expected[r].o = expected_o.data() + r * s.padded;
  }
  reference::fold(s.block, s.plan, expected.data(), rows);
  cpu::fold<A>(s.block, s.plan, state.data(), rows);
  for (std::size_t r = 0; r < rows; ++r) {
    REQUIRE(state[r].m == expected[r].m);
    REQUIRE(state[r].d == expected[r].d);
  }
  REQUIRE(std::memcmp(o.data(), expected_o.data(), o.size() * sizeof(float)) == 0);
}

template <class A, class Codec>
void expect_reference_bits_everywhere() {
  unsigned seed = 1;
  for (const std::size_t head_dim : {7u, 8u, 16u, 48u, 64u, 80u, 128u})
    for (std::size_t rows = 1; rows <= max_block_rows; ++rows)
      for (const bool rotated : {false, true})
        for (const bool interleaved : {false, true})
          for (const bool poison : {false, true})
            expect_reference_bits<A, Codec>(head_dim, rows, seed++, rotated, interleaved, poison);
}

}  // namespace

TEMPLATE_TEST_CASE("attention gives the reference's bits on every architecture", "", weir::f32,
                   weir::f16, weir::bf16, weir::int8, weir::int4) {
  weir_test::for_each_arch([]<class A> { expect_reference_bits_everywhere<A, TestType>(); });
}

TEST_CASE("the reference is softmax attention") {
  scene<weir::f32> s(64, 7, false, true);
  s.plan.clear();
  for (std::uint32_t tile = 0; tile < 4; ++tile) {
    s.plan.open(0);
    s.plan.piece(tile).live[0] = tile == 3 ? 0x0000FFFFu : ~0u;
    s.plan.drop_if_empty();
  }
  std::vector<float> o(s.padded), out(s.head_dim);
  attention_state state{.o = o.data()};
  reference::fold(s.block, s.plan, &state, 1);
  finish(state, out.data(), s.head_dim);

  std::vector<double> weight(112), expected(64);
  double total = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    double score = 0;
    for (std::size_t k = 0; k < 64; ++k)
      score += double{s.query[k]} * double{s.keys[i / 32 * 64 * 32 + k * 32 + i % 32]};
    total += weight[i] = std::exp(score);
  }
  double error = 0, norm = 0;
  for (std::size_t k = 0; k < 64; ++k) {
    for (std::size_t i = 0; i < weight.size(); ++i)
      expected[k] += weight[i] / total * double{s.values[i * 64 + k]};
    error += (out[k] - expected[k]) * (out[k] - expected[k]);
    norm += expected[k] * expected[k];
  }
  REQUIRE(std::sqrt(error / norm) <= 2e-6);
}

TEST_CASE("states merge: the worked example of split softmax") {
  // Logits 1, 3, 2, 5 with values (1,0), (0,1), (2,2), (-1,4), in two halves.
  float left[16] = {0.135335f, 1}, right[16] = {-0.900426f, 4.099574f};
  weir::attention_state a{3, 1.135335f, left}, b{5, 1.049787f, right};
  weir::merge(a, b, 16);
  float out[2];
  weir::finish(a, out, 2);
  REQUIRE(std::abs(out[0] - -0.732992f) < 1e-5f);
  REQUIRE(std::abs(out[1] - 3.519009f) < 1e-5f);
  REQUIRE(std::abs(a.m + std::log(a.d) - 5.185182f) < 1e-5f);
}

TEST_CASE("merging the identity changes no bit, on either side") {
  float o[16] = {-0.0f, 1.5f}, zeros[16] = {};
  weir::attention_state state{2, 3, o}, identity{.o = zeros};
  weir::merge(state, identity, 16);
  REQUIRE((state.m == 2 && state.d == 3 && std::signbit(o[0]) && o[1] == 1.5f));
  weir::merge(identity, state, 16);
  REQUIRE((identity.m == 2 && identity.d == 3 && std::signbit(zeros[0]) && zeros[1] == 1.5f));
}

TEST_CASE("a row that read nothing gives zeros") {
  float zeros[16] = {}, out[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  weir::finish({.o = zeros}, out, 8);
  for (const float x : out) REQUIRE(x == 0);
}
