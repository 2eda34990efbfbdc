// Expected attention, arXiv 2510.00636: worked examples by hand.
#include <weir/cache/eviction/expected_attention.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"
#include "support/random_weights.hpp"

using weir::expected_attention;
using indices = std::vector<std::uint64_t>;

namespace {

std::vector<float> seen;

/// Remembers the scores.
struct watched : expected_attention {
  void score_all(const weir::slots_view& view, std::span<float> score) const {
    expected_attention::score_all(view, score);
    seen.assign(score.begin(), score.end());
  }
};
using bench = weir::testing::policy_bench<weir::keep<watched>>;

const weir::kv_shape plain{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 2};

constexpr float value_lengths[6] = {1, 2, 1, 5, 1, .5f};

/// The example's entries behind `first` tokens that must not count; queries have mean (1, .5) and
/// covariance diag(vx, vy).
void drive(bench& b, std::size_t first, float vx, float vy,
           std::span<const float, 6> lengths = value_lengths) {
  const float keys[6][2] = {{1, 0}, {0, 1}, {1, 1}, {-1, 0}, {.5f, .5f}, {2, -1}};
  const float x[6] = {1, 1, -1, -1, 0, 0}, y[6] = {1, -1, 1, -1, 0, 0};
  for (std::size_t i = 0; i < first; ++i) {
    b.append(std::vector<float>{9, 9}, std::vector<float>{9, 9});
    b.observe_queries(0, 0, std::vector<float>{70, -70});
  }
  for (std::size_t i = 0; i < 6; ++i) {
    b.append(keys[i], std::vector<float>{0, lengths[i]});
    b.observe_queries(
        0, 0,
        std::vector<float>{1 + x[i] * std::sqrt(1.5f * vx), .5f + y[i] * std::sqrt(1.5f * vy)});
  }
  b.decide();
}

void check_scores(std::span<const float> found, const std::vector<float>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(std::abs(found[i] - expected[i]) <= 1e-5f);
}

}  // namespace

TEST_CASE("entries are scored by what queries like those so far should give them") {
  bench b({watched{{.budget = 3, .first = 0}}}, plain, 6);
  drive(b, 0, 0, 0);
  check_scores(seen, {.177572f, .249378f, .252884f, .215854f, .1488f, .126442f});
  CHECK(b.kept() == indices{1, 2, 3});
}

TEST_CASE("where values are of one length, the score is the expected probability") {
  bench b({watched{{.budget = 3, .first = 0}}}, plain, 6);
  const float lengths[6] = {1, 1, 1, 1, 1, 1};
  drive(b, 0, 0, 0, lengths);
  check_scores(seen, {.177572f, .124689f, .252884f, .043171f, .1488f, .252884f});
  CHECK(b.kept() == indices{0, 2, 5});
}

TEST_CASE("the spread of queries counts, unless it is not asked for") {
  for (const bool covariance : {true, false}) {
    bench b({watched{{.budget = 3, .first = 0, .covariance = covariance}}}, plain, 6);
    drive(b, 0, .5f, .1f);
    check_scores(seen, covariance
                           ? std::vector{.160489f, .203939f, .234342f, .195088f, .123217f, .170482f}
                           : std::vector{.177572f, .249378f, .252884f, .215854f, .1488f, .126442f});
    CHECK(b.state<0>().size() == (covariance ? 7 : 3));
  }
}

TEST_CASE("the stream's first tokens count in nothing and rank first") {
  bench b({watched{{.budget = 5, .first = 2}}}, plain, 8);
  drive(b, 2, .5f, .1f);
  REQUIRE(seen.size() == 8);
  CHECK(std::isinf(seen[0]));
  check_scores(std::span(seen).subspan(2),
               {.160489f, .203939f, .234342f, .195088f, .123217f, .170482f});
  CHECK(b.kept() == indices{0, 1, 3, 4, 5});
}

TEST_CASE("mean and spread are turned by the mean rotation over coming positions, head by head") {
  // Against the definition, summed up position by position. Nine elements, of which eight turn, so
  // that blocks of elements and pairs end unevenly.
  constexpr std::size_t d = 9, group = 2, n = 12, ahead = 20;
  for (const auto pairing : {weir::rope_pairing::interleaved, weir::rope_pairing::half_split}) {
    weir::kv_shape shape{.layers = 1, .q_heads = 2, .kv_heads = 1, .head_dim = d};
    shape.rope = {8, 100, pairing};
    bench b({watched{{.budget = 4, .first = 0, .ahead = ahead}}}, shape, n);
    std::vector<std::vector<float>> keys, values, queries;
    for (std::uint64_t i = 0; i < n; ++i) {
      keys.push_back(weir_test::random_floats(d, 3 * i + 1));
      values.push_back(weir_test::random_floats(d, 3 * i + 2));
      queries.push_back(weir_test::random_floats(group * d, 3 * i + 3));
      b.append(keys[i], values[i]);
      b.observe_queries(0, 0, queries[i]);
    }
    b.decide();

    double turn[d][d] = {};
    turn[8][8] = 1;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto [x, y] = shape.rope.elements(i);
      for (std::size_t p = n; p < n + ahead; ++p) {
        const double angle =
            static_cast<double>(p) * std::pow(100.0, -2.0 * static_cast<double>(i) / 8);
        turn[x][x] += std::cos(angle) / ahead, turn[y][y] += std::cos(angle) / ahead;
        turn[x][y] -= std::sin(angle) / ahead, turn[y][x] += std::sin(angle) / ahead;
      }
    }
    std::vector<double> expected(n, 0.0);
    for (std::size_t h = 0; h < group; ++h) {
      // z through projections of the turned queries on each key: their mean and variance.
      std::vector<double> z(n);
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) {
        double mean = 0, squares = 0;
        for (const auto& q : queries) {
          double dot = 0;
          for (std::size_t a = 0; a < d; ++a)
            for (std::size_t c = 0; c < d; ++c)
              dot += double{keys[i][a]} * turn[a][c] * double{q[h * d + c]};
          mean += dot / n, squares += dot * dot / n;
        }
        z[i] = std::exp(mean / 3 + (squares - mean * mean) / 18);  // √d = 3
        sum += z[i];
      }
      for (std::size_t i = 0; i < n; ++i) {
        double length = 0;
        for (const float x : values[i]) length += double{x} * double{x};
        expected[i] += z[i] / sum / group * std::sqrt(length);
      }
    }
    REQUIRE(seen.size() == n);
    for (std::size_t i = 0; i < n; ++i) CHECK(std::abs(seen[i] - expected[i]) <= 1e-5);
  }
}
