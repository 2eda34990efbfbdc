#include <weir/reducers/flash_vstream.hpp>

#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/refusal.hpp"

using weir::reducers::flash_vstream;
using weir::reducers::weighted_k_means;

namespace {

using vec = std::vector<float>;
using counts = std::vector<std::size_t>;

bool near(float a, float b) { return std::fabs(a - b) < 1e-5f; }

}  // namespace

TEST_CASE("centroids stand for their points' weights") {
  const auto c =
      weighted_k_means(vec{0, 1, 2, 10, 12}, std::vector<double>{3, 1, 1, 1, 1}, 1, {0, 10});
  REQUIRE(c.centroid.size() == 2);
  CHECK(near(c.centroid[0], .6f));
  CHECK(near(c.centroid[1], 11));
  CHECK(c.label == counts{0, 0, 0, 1, 1});
  CHECK(c.weight == std::vector<double>{5, 2});
}

TEST_CASE("a cluster without points takes the furthest point") {
  const auto c =
      weighted_k_means(vec{0, 0, 1, 0, 9, 0}, std::vector<double>{1, 1, 2}, 2, {0, 0, 0, 0});
  CHECK(c.label == counts{0, 0, 1});
  CHECK(near(c.centroid[0], .5f));
  CHECK(near(c.centroid[2], 9));
  CHECK(c.weight == std::vector<double>{2, 2});
}

TEST_CASE("abstract memory drifts towards what it attends to") {
  vec memory{4};
  const vec weight{.2f * .25f, .2f * .75f};
  weir::reducers::update_abstract_memory(memory, weight, vec{8, 0}, 1);
  CHECK(near(memory[0], 3.6f));

  vec two{1, 2, 3, 4};
  weir::reducers::update_abstract_memory(two, vec{.5f, 0}, vec{5, 6}, 2);
  CHECK(two == vec{3, 4, 3, 4});
  weir_test::require_refused<weir::error::bad_input>(
      [&] {
        weir::reducers::update_abstract_memory(two, weight, vec{1, 2, 3, 4}, 2);
      },
      {"2 weights", "2 × 2"});
}

TEST_CASE("the memory holds the last frames and the centroids of all") {
  flash_vstream memory({.width = 1, .spatial = 3, .temporal = 2, .retrieved = 2});
  CHECK(memory.retrieve().empty());
  for (const float x : {0.f, 10.f, 1.f, 12.f, 2.f}) memory.append(vec{x});
  CHECK(vec(memory.spatial().begin(), memory.spatial().end()) == vec{1, 12, 2});
  REQUIRE(memory.temporal().size() == 2);
  CHECK(near(memory.temporal()[0], 1));
  CHECK(near(memory.temporal()[1], 11));
  CHECK(memory.weights()[0] == 3);
  CHECK(memory.weights()[1] == 2);
  CHECK(memory.retrieve() == counts{0, 1});  // 1, then 12
}

TEST_CASE("a long video takes no more memory than a short one") {
  flash_vstream memory({.width = 4, .spatial = 5, .temporal = 7});
  const float* spatial = nullptr;
  const float* temporal = nullptr;
  for (int i = 0; i < 500; ++i) {
    const float x = static_cast<float>(i * 37 % 101);
    memory.append(vec{x, -x, x / 2, 1});
    if (i == 20) spatial = memory.spatial().data(), temporal = memory.temporal().data();
  }
  CHECK(memory.spatial().data() == spatial);
  CHECK(memory.temporal().data() == temporal);
  CHECK(memory.spatial().size() == 20);
  CHECK(memory.temporal().size() == 28);
  CHECK(std::accumulate(memory.weights().begin(), memory.weights().end(), 0.0) == 500);
  CHECK(memory.retrieve().size() == 3);
}

TEST_CASE("frames and sizes that do not fit are refused") {
  flash_vstream memory({.width = 4});
  weir_test::require_refused<weir::error::bad_input>([&] { memory.append(vec{1}); },
                                                     {"1 floats", "expected 4"});
  using weir::error::bad_config;
  weir_test::require_refused<bad_config>([] { flash_vstream({.width = 0}); }, {"0 floats"});
  weir_test::require_refused<bad_config>(
      [] { flash_vstream({.width = 1, .temporal = 2, .retrieved = 3}); }, {"3 retrieved"});
}
