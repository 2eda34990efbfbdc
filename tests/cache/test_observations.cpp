// What policies are told of attention is what attention did: probabilities, logits and queries of
// every row, against softmax in double over the keys that the cache holds.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/kernels/observation_kernels.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"

namespace {

using namespace weir;
using namespace weir::testing;

struct seen_row {
  std::size_t layer, head;
  std::uint64_t index, left;
  std::vector<float> probabilities, largest, logits, queries;  // by slot
  std::vector<std::uint64_t> indices;
};

/// Writes down what it is told, and keeps the oldest.
struct witness {
  std::size_t budget = 0;
  std::vector<seen_row>* log = nullptr;
  static constexpr signals needs = signals::attention_probabilities |
                                   signals::largest_probabilities | signals::attention_logits |
                                   signals::queries;
  void observe(const observed_row& row) const {
    seen_row s{row.layer(), row.kv_head(), row.index().value, row.rows_left(), {}, {}, {}, {}, {}};
    s.probabilities.assign(row.probabilities().begin(), row.probabilities().end());
    s.largest.assign(row.largest_probabilities().begin(), row.largest_probabilities().end());
    s.indices.assign(row.indices().begin(), row.indices().end());
    for (std::size_t g = 0; g < row.shape().group(); ++g) {
      s.logits.insert(s.logits.end(), row.logits(g).begin(), row.logits(g).end());
      s.queries.insert(s.queries.end(), row.query(g).begin(), row.query(g).end());
    }
    log->push_back(std::move(s));
  }
  float score(const slots_view& view, slot s) const {
    return -static_cast<float>(view.index(s).value);
  }
};
struct late_witness : witness {
  std::size_t last_rows() const { return 3; }
};

/// Keys unrotated: what is told can be worked out from what was fed.
kv_shape plain_shape(std::size_t group) {
  return {.layers = 2, .q_heads = 2 * group, .kv_heads = 2, .head_dim = 24};
}

template <class Layout, class Witness = witness>
std::vector<seen_row> told_of(const kv_shape& shape, std::span<const token_name> names,
                              std::size_t chunk, std::size_t cadence) {
  std::vector<seen_row> log;
  Witness w;
  w.budget = 20;
  w.log = &log;
  using Keep = keep<sinks, window, Witness>;
  one_cache<kv_cache<f32, Keep, positions::original, Layout>> cache(
      shape, Keep{sinks{2}, window{30}, w}, {.max_rows = 64, .cadence = cadence});
  append(cache, shape, names, chunk);
  return log;
}

bool lives(const std::vector<std::uint64_t>& sorted, std::uint64_t i) {
  return std::binary_search(sorted.begin(), sorted.end(), i);
}

}  // namespace

TEST_CASE("rows are told what attention did") {
  for (const std::size_t group : {1u, 3u, 4u, 9u})
    for (const std::size_t chunk : {1u, 40u}) {
      const kv_shape shape = plain_shape(group);
      const auto names = names_of(120, group);
      const auto log = told_of<layouts::contiguous>(shape, names, chunk, 7);
      REQUIRE(log.size() == 119 * shape.total_kv_heads());  // the last row may yet be taken back
      layer_rows x;
      std::size_t empty_slots = 0;
      for (const seen_row& row : log) {
        make_rows(shape, names, row.layer, x);
        CHECK(row.left == 6 - row.index % 7);
        const std::size_t slots = row.indices.size(), dim = shape.head_dim;
        std::vector<double> mean(slots, 0.0), most(slots, 0.0);
        for (std::size_t g = 0; g < group; ++g) {
          const float* q = &x.q[(row.index * shape.q_heads + row.head * group + g) * dim];
          REQUIRE(std::equal(q, q + dim, &row.queries[g * dim]));
          std::vector<double> logit(slots, -std::numeric_limits<double>::infinity());
          double top = logit[0], total = 0;
          for (std::size_t s = 0; s < slots; ++s) {
            if (row.logits[g * slots + s] == -std::numeric_limits<float>::infinity()) {
              REQUIRE(row.probabilities[s] == 0.0f);
              ++empty_slots;
              continue;
            }
            REQUIRE(row.indices[s] <= row.index);
            const float* k = &x.k[(row.indices[s] * shape.kv_heads + row.head) * dim];
            double dot = 0;
            for (std::size_t i = 0; i < dim; ++i) dot += double{q[i]} * k[i];
            logit[s] = dot * double{shape.score_scale()};
            REQUIRE(std::abs(logit[s] - double{row.logits[g * slots + s]}) < 1e-4);
            top = std::max(top, logit[s]);
          }
          for (const double l : logit) total += std::exp(l - top);
          for (std::size_t s = 0; s < slots; ++s) {
            const double p = std::exp(logit[s] - top) / total;
            mean[s] += p / static_cast<double>(group);
            most[s] = std::max(most[s], p);
          }
        }
        double sum = 0;
        std::vector<std::uint64_t> read;
        for (std::size_t s = 0; s < slots; ++s) {
          sum += double{row.probabilities[s]};
          REQUIRE(std::abs(mean[s] - double{row.probabilities[s]}) < 1e-5);
          REQUIRE(std::abs(most[s] - double{row.largest[s]}) < 1e-5);
          if (row.logits[s] != -std::numeric_limits<float>::infinity())
            read.push_back(row.indices[s]);
        }
        CHECK(std::abs(sum - 1) < 1e-5);
        // What it read: the first two and its last thirty for certain, and itself.
        std::sort(read.begin(), read.end());
        CHECK(std::adjacent_find(read.begin(), read.end()) == read.end());
        CHECK(read.back() == row.index);
        for (std::uint64_t i = row.index - std::min<std::uint64_t>(row.index, 29); i < row.index;
             ++i)
          REQUIRE(lives(read, i));
      }
      CHECK(empty_slots > 0);
    }
}

TEST_CASE("rows are told the same whatever the chunk and the layout, in stream order") {
  const kv_shape shape = plain_shape(3);
  const auto names = names_of(90, 5);
  const auto log = told_of<layouts::contiguous>(shape, names, 1, 8);
  for (const std::size_t chunk : {1u, 5u, 64u}) {
    const auto other = told_of<layouts::paged>(shape, names, chunk, 8);
    REQUIRE(other.size() == log.size());
    for (std::size_t layer = 0; layer < 2; ++layer)
      for (std::size_t head = 0; head < 2; ++head) {
        const auto of_head = [&](const std::vector<seen_row>& all) {
          std::vector<seen_row> mine;
          for (const seen_row& r : all)
            if (r.layer == layer && r.head == head) mine.push_back(r);
          return mine;
        };
        const auto a = of_head(log), b = of_head(other);
        REQUIRE(a.size() == b.size());
        for (std::size_t i = 0; i < a.size(); ++i) {
          REQUIRE(a[i].index == i);
          REQUIRE(b[i].index == i);
          REQUIRE(same_bits(a[i].probabilities, b[i].probabilities));
          REQUIRE(same_bits(a[i].largest, b[i].largest));
          REQUIRE(same_bits(a[i].logits, b[i].logits));
        }
      }
  }
}

TEST_CASE("a query head that read nothing has no probabilities but 0") {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> weight(2 * 16 * 32, std::nanf("")), out(2 * 32, 1.0f);
  std::vector<float> largest(2 * 16, -inf);
  std::fill_n(weight.begin(), 32, .5f);  // the first head's first tile
  largest[0] = 2;
  const float total[] = {2, 16, -inf, 0};  // m and d of both heads
  std::vector<float> most = out;
  kernels<observation_kernels>().row_probabilities(weight.data(), largest.data(), 16, total, 2, 2,
                                                   out.data(), most.data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    CHECK(out[i] == (i < 32 ? .5f / 16 / 2 : 0.0f));
    CHECK(most[i] == (i < 32 ? .5f / 16 : 0.0f));
  }
}

TEST_CASE("who asks for the last rows before a boundary is told of no others") {
  const kv_shape shape = plain_shape(2);
  const auto names = names_of(80, 6);
  for (const std::size_t chunk : {1u, 33u}) {
    const auto log = told_of<layouts::contiguous, late_witness>(shape, names, chunk, 16);
    REQUIRE(log.size() == (80 / 16 * 3 - 1) * shape.total_kv_heads());
    for (const seen_row& row : log) CHECK(row.index % 16 >= 13);
  }
}
