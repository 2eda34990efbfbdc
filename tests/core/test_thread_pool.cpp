#include <weir/core/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

constexpr std::size_t dear = weir::executor::worth_sharing;

/// How often for_range gives out each index.
std::vector<int> visits(weir::executor& threads, std::size_t n, std::size_t cost) {
  std::vector<std::atomic<int>> count(n);
  threads.for_range(n, cost, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) ++count[i];
  });
  return {count.begin(), count.end()};
}

}  // namespace

TEST_CASE("every index is given out once") {
  for (const unsigned width : {1u, 2u, 3u, 8u}) {
    weir::thread_pool threads(width);
    CHECK(threads.width() == width);
    for (const std::size_t n : {0u, 1u, 2u, 3u, 7u, 8u, 9u, 1000u})
      for (const std::size_t cost : {std::size_t{0}, dear})
        CHECK(visits(threads, n, cost) == std::vector<int>(n, 1));
  }
}

TEST_CASE("every part runs once, also with more threads than cores, for many rounds") {
  const unsigned cores = weir::available_threads();
  for (const unsigned width : {1u, 2u, 4 * cores}) {
    weir::thread_pool threads(width);
    std::vector<std::atomic<int>> count(width);
    constexpr int rounds = 2000;
    for (int round = 0; round < rounds; ++round) {
      threads.run([&](unsigned part) { ++count[part]; });
      // Everything that parts did is visible when run returns.
      for (const auto& c : count) REQUIRE(c.load(std::memory_order_relaxed) == round + 1);
    }
  }
}

TEST_CASE("threads that fell asleep wake up again") {
  weir::thread_pool threads(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::atomic<int> parts{0};
    threads.run([&](unsigned) { ++parts; });
    CHECK(parts == 3);
  }
}

TEST_CASE("a pool of one runs on the calling thread") {
  weir::thread_pool threads(1);
  const auto self = std::this_thread::get_id();
  bool same = false;
  threads.run([&](unsigned part) { same = part == 0 && std::this_thread::get_id() == self; });
  CHECK(same);
}

TEST_CASE("cheap work stays on the calling thread, in one piece") {
  weir::thread_pool threads(4);
  int pieces = 0;
  threads.for_range(1000, dear - 1, [&](std::size_t first, std::size_t last) {
    ++pieces;
    CHECK(first == 0);
    CHECK(last == 1000);
  });
  CHECK(pieces == 1);
}

TEST_CASE("pools come and go, used or not") {
  for (int i = 0; i < 50; ++i) {
    weir::thread_pool threads(3);
    if (i % 2 == 0) threads.run([](unsigned) {});
  }
  CHECK(weir::thread_pool(0).width() >= 1);
  CHECK_THROWS_AS(weir::thread_pool(1025), weir::error::bad_config);
}

TEST_CASE("an executor of the user's serves as well") {
  struct backwards : weir::executor {
    unsigned width() const override { return 5; }
    void run(weir::function_ref<void(unsigned)> part) override {
      for (unsigned i = 5; i-- > 0;) part(i);
    }
  } threads;
  CHECK(visits(threads, 13, dear) == std::vector<int>(13, 1));
}
