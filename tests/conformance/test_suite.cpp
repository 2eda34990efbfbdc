// The conformance suite itself: it passes a sound policy of a user's in one line, and finds what is
// wrong with others.
#include <atomic>
#include <string>
#include <vector>

#include <weir/cache/eviction/by_largest.hpp>
#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/observation_window.hpp>
#include <weir/cache/eviction/pyramid.hpp>
#include <weir/testing/conformance.hpp>

#include "support/catch.hpp"

namespace {

using weir::testing::broken_properties;

/// The README's policy.
struct longest_keys {
  std::size_t budget;
  float score(const weir::slots_view& c, weir::slot s) const { return c.key_norm(s); }
};

/// Scores by how often it was asked.
struct fickle {
  std::size_t budget;
  static inline std::atomic<unsigned> asked{0};
  float score(const weir::slots_view&, weir::slot) const {
    return static_cast<float>((asked++ * 2654435761u) >> 8);
  }
};

/// Takes nothing of what there is.
struct modest {
  std::size_t budget;
  void select(weir::selection&) const {}
};

/// Treats heads by their number.
struct partial {
  std::size_t budget;
  float score(const weir::slots_view& c, weir::slot s) const {
    return static_cast<float>(c.index(s).value) * (c.kv_head() == 0 ? 1.0f : -1.0f);
  }
};

/// Counts rows where it should count what they saw: rows that were taken back count too if a cache
/// shows them.
struct row_counter {
  std::size_t budget;
  static constexpr weir::signals needs = weir::signals::attention_probabilities;
  static inline std::atomic<int> rows{0};
  void observe(const weir::observed_row&) const { ++rows; }
  float score(const weir::slots_view& c, weir::slot s) const {
    return static_cast<float>(c.index(s).value);
  }
};

bool mentions(const std::vector<std::string>& broken, const std::string& what) {
  for (const std::string& b : broken)
    if (b.find(what) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a sound policy of a user's passes, in one line") {
  CHECK(broken_properties([](std::size_t n) { return longest_keys{n}; }).empty());
}

TEST_CASE("a policy that is not a function of what it sees is found") {
  const auto broken = broken_properties([](std::size_t n) { return fickle{n}; });
  CHECK(mentions(broken, "chunks of 7"));
  CHECK(mentions(broken, "speculation"));
}

TEST_CASE("a policy that loses what fits is found") {
  const auto broken = broken_properties([](std::size_t n) {
    return weir::keep<weir::window, modest>{weir::window{20}, modest{n}};
  });
  CHECK(mentions(broken, "loses entries"));
  CHECK(mentions(broken, "is not full attention"));
}

TEST_CASE("a policy that tells heads apart is found, and allowed to on request") {
  CHECK(mentions(broken_properties([](std::size_t n) { return partial{n}; }), "change places"));
  weir::testing::conformance_options o;
  o.heads_are_alike = false;
  CHECK(broken_properties([](std::size_t n) { return partial{n}; }, o).empty());
}

TEST_CASE("a row is observed once, and only if it stays") {
  weir::testing::conformance_options o;
  o.cadences = {7};
  row_counter::rows = 0;
  const auto make = [](std::size_t n) {
    return weir::keep<weir::window, row_counter>{weir::window{n / 2}, row_counter{n / 2}};
  };
  const auto policy = weir::testing::check_of<weir::f32, weir::positions::original>(make);
  const auto cache = policy.make(40, o.shape, {.max_rows = 16, .max_draft_rows = 4, .cadence = 7});
  const auto names = weir::testing::names_of(40, 1);
  for (std::size_t t = 0; t < 40; ++t) {
    weir::testing::append(*cache, o.shape, std::span(names).subspan(t, 1), 1);
    if (t % 3 != 0 || cache->draft_room(0) == 0) continue;
    const weir::row draft[1] = {{weir::row::root, true}};
    weir::testing::attend_rows(*cache, o.shape, draft, std::span(names).first(1));
    cache->rollback();
  }
  // All but the last, which may yet be taken back.
  CHECK(row_counter::rows == 39 * static_cast<int>(o.shape.total_kv_heads()));
}

TEST_CASE("policies that go by the largest of their query heads do what every policy must") {
  using namespace weir;
  CHECK(broken_properties([](std::size_t n) {
          return keep(window{n / 4}, by_largest(heavy_hitters{n - n / 4}));
        }).empty());
  CHECK(broken_properties([](std::size_t n) {
          return keep(window{8}, pyramid(by_largest(observation_window{n - 8, 8})));
        }).empty());
  // Both in one list: each is told what it goes by.
  CHECK(broken_properties([](std::size_t n) {
          return keep(window{4}, heavy_hitters{n / 2}, by_largest(heavy_hitters{n - n / 2 - 4}));
        }).empty());
}
