// Whom a row reads, and where it sees them: the papers' worked streams, and keys that are
// renumbered against keys that are rotated once more.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/token_kinds.hpp>
#include <weir/kernels/reference/rope.hpp>

#include "cache/any_cache.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

namespace {

using namespace weir_test;
using indices = std::vector<std::uint64_t>;

/// Outputs of such tokens as `feed` appends show where their row saw every other one.
constexpr weir::kv_shape telling{.layers = 1,
                                 .q_heads = 1,
                                 .kv_heads = 1,
                                 .head_dim = 16,
                                 .rope = {.dims = 4, .base = 100},
                                 .scale = 1};

struct sight {
  indices read;                   ///< tokens
  std::vector<double> positions;  ///< theirs, where the row's own is their number - 1
};

/// Appends so many of at most 16 tokens in one step. What the last of them sees: token i has value
/// e_i, so that outputs are probabilities; and with the query a quarter of a turn ahead of the key,
/// in elements that turn by .1 a position, a logit is minus the sine of a tenth of the distance.
sight feed(any_cache& cache, std::size_t rows = 1) {
  const std::size_t dim = telling.head_dim, first = cache.length();
  std::vector<float> q(rows * dim), k(q), v(q), out(q);
  for (std::size_t r = 0; r < rows; ++r)
    q[r * dim + 3] = k[r * dim + 2] = v.at(r * dim + first + r) = 1;
  cache.begin(std::vector<weir::row>(rows));
  cache.attend(0, q, k, v, out);
  cache.commit({});
  sight seen;
  const float* const p = &out[(rows - 1) * dim];
  for (std::size_t i = 0; i < dim; ++i)
    if (p[i] > 0) seen.read.push_back(i);
  for (const std::uint64_t i : seen.read)
    seen.positions.push_back(static_cast<double>(seen.read.size() - 1) -
                             10 * std::asin(std::log(double{p[first + rows - 1] / p[i]})));
  return seen;
}

/// What the last of `tokens` tokens sees, each appended by itself.
sight feed_singly(any_cache& cache, std::size_t tokens) {
  for (std::size_t i = 1; i < tokens; ++i) feed(cache);
  return feed(cache);
}

void check_sight(const sight& seen, const indices& read, const std::vector<double>& positions) {
  CHECK(seen.read == read);
  REQUIRE(seen.positions.size() == positions.size());
  for (std::size_t i = 0; i < positions.size(); ++i)
    CHECK(std::abs(seen.positions[i] - positions[i]) <= 1e-3);
}

std::unique_ptr<any_cache> sinks_and_window(std::size_t sinks, std::size_t window, bool renumbers,
                                            const weir::kv_shape& shape = telling) {
  setup s;
  s.keeps = sinks > 0 ? policy::sinks_window : policy::window;
  s.sinks = sinks;
  s.window = window;
  s.renumbers = renumbers;
  s.shape = shape;
  return make_cache(s);
}

template <class Keep>
using renumbering = weir::one_cache<weir::kv_cache<weir::f32, Keep, weir::positions::within_cache>>;

}  // namespace

TEST_CASE("sinks and a window are seen without gaps (StreamingLLM, arXiv 2309.17453)") {
  const auto cache = sinks_and_window(1, 3, true);
  check_sight(feed_singly(*cache, 6), {0, 3, 4, 5}, {0, 1, 2, 3});
  const auto gaps = sinks_and_window(1, 3, false);
  check_sight(feed_singly(*gaps, 6), {0, 3, 4, 5}, {-2, 1, 2, 3});
}

TEST_CASE("two tokens that come together leave room for both (StreamingLLM)") {
  const auto cache = sinks_and_window(1, 3, true);
  feed_singly(*cache, 6);
  check_sight(feed(*cache, 2), {0, 5, 6, 7}, {0, 1, 2, 3});  // of the six, 0 and 5
}

TEST_CASE("previous text is seen without gaps (StreamingVLM, arXiv 2510.09608)") {
  const weir::keep text{weir::token_kinds{weir::kind_window{.kind = 0, .last = 3, .first = 2}}};
  renumbering<std::remove_const_t<decltype(text)>> cache(telling, text, {.cadence = 8});
  check_sight(feed_singly(cache, 8), {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7});
  check_sight(feed(cache), {0, 1, 5, 6, 7, 8}, {0, 1, 2, 3, 4, 5});  // itself behind them
}

TEST_CASE("levels of other rates have caches and windows of their own (Meshtron, 2412.09548)") {
  const auto one = sinks_and_window(0, 3, false);
  CHECK(feed_singly(*one, 6).read == indices{3, 4, 5});

  const auto full = sinks_and_window(0, 6, false), third = sinks_and_window(0, 6 / 3, false);
  sight of_tokens, of_groups;
  for (int token = 0; token < 12; ++token) {
    of_tokens = feed(*full);
    if (token % 3 == 2) of_groups = feed(*third);  // a token is a group of three
  }
  CHECK(of_tokens.read == indices{6, 7, 8, 9, 10, 11});
  CHECK(of_groups.read == indices{2, 3});
}

namespace {

constexpr weir::kv_shape shape{
    .layers = 1, .q_heads = 4, .kv_heads = 2, .head_dim = 8, .rope = {.dims = 8, .base = 10000}};

/// One head, turned by `by` positions, which may be negative.
std::vector<float> turned(const std::vector<float>& x, std::uint64_t by) {
  static const weir::rope_angles rope(shape.rope);
  std::vector<float> c(x.size()), s(x.size()), out(x.size());
  rope.factors(weir::position{by}, c.data(), s.data());
  weir::reference::rotate(shape.rope, x.data(), out.data(), x.size(), c.data(), s.data());
  return out;
}

/// Appends random tokens one at a time, of which the row of token t reads `survivors(t, head)`, as
/// it is before that token comes. The
/// largest difference of an output from attention over keys that were rotated at their stream
/// indices, and then once more to their ranks among the survivors.
template <class Survivors>
double difference_from_rotating_again(any_cache& cache, Survivors survivors) {
  const std::size_t dim = shape.head_dim, kv_row = shape.kv_heads * dim;
  std::vector<std::vector<float>> rotated, values;  // [token * kv_heads + head]
  double worst = 0;
  for (std::uint64_t t = 0; t < 200; ++t) {
    const auto q = random_floats(shape.q_heads * dim, 3 * t + 1, 2),
               k = random_floats(kv_row, 3 * t + 2, 2), v = random_floats(kv_row, 3 * t + 3);
    std::vector<float> out(q.size());
    std::vector<indices> read_by;  // [head]
    for (std::size_t head = 0; head < shape.kv_heads; ++head) read_by.push_back(survivors(t, head));
    cache.begin(std::vector<weir::row>(1));
    cache.attend(0, q, k, v, out);
    cache.commit({});
    const auto head_of = [&](const std::vector<float>& x, std::size_t head) {
      return std::vector<float>(&x[head * dim], &x[head * dim] + dim);
    };
    for (std::size_t head = 0; head < shape.kv_heads; ++head) {
      rotated.push_back(turned(head_of(k, head), t));
      values.push_back(head_of(v, head));
    }
    for (std::size_t q_head = 0; q_head < shape.q_heads; ++q_head) {
      const std::size_t head = q_head / shape.group();
      const indices& read = read_by[head];
      const auto query = turned(head_of(q, q_head), read.size() - 1);
      std::vector<double> mean(dim, 0.0);
      double sum = 0;
      for (std::size_t rank = 0; rank < read.size(); ++rank) {
        const std::size_t entry = read[rank] * shape.kv_heads + head;
        const auto key = turned(rotated[entry], rank - read[rank]);
        double logit = 0;
        for (std::size_t d = 0; d < dim; ++d) logit += double{query[d]} * double{key[d]};
        const double weight = std::exp(logit * double{shape.score_scale()});
        sum += weight;
        for (std::size_t d = 0; d < dim; ++d) mean[d] += weight * double{values[entry][d]};
      }
      for (std::size_t d = 0; d < dim; ++d)
        worst = std::max(worst, std::abs(mean[d] / sum - double{out[q_head * dim + d]}));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("renumbered entries give what their keys give when rotated once more") {
  const auto streaming = sinks_and_window(4, 20, true, shape);
  const auto sinks_and_last = [](std::uint64_t t, std::size_t) {
    indices read;
    for (std::uint64_t i = 0; i <= t; ++i)
      if (i < 4 || t - i < 20) read.push_back(i);
    return read;
  };
  CHECK(difference_from_rotating_again(*streaming, sinks_and_last) <= 1e-5);

  using h2o = weir::keep<weir::window, weir::heavy_hitters>;
  renumbering<h2o> heavy(shape, h2o{weir::window{10}, weir::heavy_hitters{14}}, {.cadence = 1});
  const auto live = [&](std::uint64_t t, std::size_t head) {
    indices all;
    heavy.for_each_index(0, head, [&](weir::stream_index i) { all.push_back(i.value); });
    all.push_back(t);  // itself
    return all;
  };
  CHECK(difference_from_rotating_again(heavy, live) <= 1e-5);
  CHECK(live(200, 0).size() == 25);
  CHECK(live(200, 0) != live(200, 1));
}
