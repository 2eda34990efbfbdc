// Whoever takes which split: the same bits, and everybody's rows stored and finished once, with all
// that they handed out.
#include <weir/cache/attention/attention_pass.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <weir/cache/store/kv_store.hpp>
#include "support/catch.hpp"
#include "support/random_weights.hpp"

using namespace weir;

namespace {

constexpr std::size_t heads = 3, splits = 5, tokens = splits * split_lanes;
constexpr kv_shape shape{.layers = 1, .q_heads = 2 * heads, .kv_heads = heads, .head_dim = 16};

/// One row over `tokens` entries a KV head. What happens along the way is written down.
struct one_layer {
  using store_type = kv_store<f32>;
  arena_plan plan;
  store_type store{plan, shape, std::vector(heads, splits* split_tiles), 0};
  split_states states{plan, shape, splits};
  arena memory{plan};
  std::vector<float> query = weir_test::random_floats(shape.q_heads * shape.head_dim, 7);

  one_layer() {
    store.bind(memory);
    states.bind(memory);
    store.start();
    const auto numbers = weir_test::random_floats(2 * heads * tokens * shape.head_dim, 8);
    const float* x = numbers.data();
    for (std::size_t head = 0; head < heads; ++head)
      for (std::size_t i = 0; i < tokens; ++i, x += 2 * shape.head_dim)
        store.write(0, head,
                    {static_cast<std::uint32_t>(i / tile_lanes),
                     static_cast<std::uint32_t>(i % tile_lanes)},
                    x, x + shape.head_dim);
  }

  struct report {
    std::vector<float> out = std::vector<float>(shape.q_heads * shape.head_dim);
    std::vector<int> arrived = std::vector<int>(heads), finished = arrived;
    std::vector<std::set<std::thread::id>> who{heads};
    std::vector<std::vector<float>> handed{heads};  // by KV head: weights, m and d
    bool met = false;                               // two heads were at one place
  };
  /// Whoever reads split `slow` of KV head `slow_head` waits until all others are being read.
  report attend(executor& threads, std::size_t slow_head = heads, std::size_t slow = splits) {
    report r;
    std::mutex mutex;
    std::atomic<std::size_t> begun{0};
    std::vector<std::atomic<int>> at_place(heads);
    std::atomic<bool> met{false};
    const auto arrive = [&](std::size_t head, std::size_t place) {
      ++r.arrived[head];
      if (at_place.at(place)++ != 0) met = true;
      std::this_thread::yield();
      --at_place[place];
    };
    const auto count = [](std::size_t, std::size_t, std::size_t) { return splits; };
    const auto plan_of = [&](std::size_t head, std::size_t, std::size_t, std::size_t k,
                             visit_list& list) {
      list.clear();
      for (std::size_t t = 0; t < split_tiles; ++t) {
        list.open(0, t);
        list.piece(static_cast<std::uint32_t>(k * split_tiles + t)).live[0] = ~0u;
        list.drop_if_empty();
      }
      {
        const std::lock_guard lock(mutex);
        r.who[head].insert(std::this_thread::get_id());
      }
      ++begun;
      while (head == slow_head && k == slow && begun < heads * splits) std::this_thread::yield();
    };
    const std::size_t tiles = splits * split_tiles, group = shape.group();
    std::vector<float> weight(heads * group * tiles * tile_lanes), largest(heads * group * tiles),
        total(heads * group * 2);
    const auto finished = [&](std::size_t head, std::size_t place) {
      ++r.finished[head];
      const auto keep = [&](const std::vector<float>& from) {
        const auto size = static_cast<std::ptrdiff_t>(from.size() / heads);
        const auto first = from.begin() + static_cast<std::ptrdiff_t>(place) * size;
        r.handed[head].insert(r.handed[head].end(), first, first + size);
      };
      keep(weight);
      keep(largest);
      keep(total);
      // What the next one finds here is not to be what it would have handed out itself.
      std::fill_n(&weight[place * group * tiles * tile_lanes], group * tiles * tile_lanes, -1.0f);
    };
    const function_ref<void(std::size_t, std::size_t)> told = finished;
    const attend_job job{.rows = 1,
                         .query = query.data(),
                         .out = r.out.data(),
                         .max_entries = tokens,
                         .arrive = arrive,
                         .splits = count,
                         .plan = plan_of,
                         .raw = {.raw_weights = weight.data(),
                                 .largest = largest.data(),
                                 .total = total.data(),
                                 .tiles = tiles},
                         .finished = &told};
    attention_pass<store_type, simd::native>(store, job, states).run(threads);
    r.met = met;
    return r;
  }
};

}  // namespace

TEST_CASE("a split may be as slow as it likes: others take what is left") {
  one_layer layer;
  executor alone;
  const auto expected = layer.attend(alone);
  thread_pool two(2), five(5);
  int shared = 0;  // KV heads that several threads read
  for (thread_pool* const threads : {&two, &five})
    for (std::size_t head = 0; head < heads; ++head)
      for (std::size_t k = 0; k < splits; ++k) {
        INFO(threads->width() << " threads, KV head " << head << ", split " << k);
        const auto r = layer.attend(*threads, head, k);
        CHECK(r.out == expected.out);
        CHECK(r.handed == expected.handed);
        CHECK(r.arrived == std::vector<int>(heads, 1));
        CHECK(!r.met);
        CHECK(r.finished == std::vector<int>(heads, 1));
        for (const auto& threads_of_head : r.who) shared += threads_of_head.size() > 1;
      }
  CHECK(shared > 0);
}

TEST_CASE("parts may run one after the other, in any order") {
  one_layer layer;
  executor alone;
  const auto expected = layer.attend(alone);
  struct in_order : executor {
    unsigned parts;
    bool rising;
    in_order(unsigned n, bool up) : parts(n), rising(up) {}
    unsigned width() const override { return parts; }
    void run(function_ref<void(unsigned)> part) override {
      for (unsigned i = 0; i < parts; ++i) part(rising ? i : parts - 1 - i);
    }
  };
  for (const unsigned parts : {2u, 3u, 4u, 16u})
    for (const bool rising : {true, false}) {
      in_order threads(parts, rising);
      const auto r = layer.attend(threads);
      CHECK(r.out == expected.out);
      CHECK(r.handed == expected.handed);
      CHECK(r.arrived == std::vector<int>(heads, 1));
      CHECK(r.finished == std::vector<int>(heads, 1));
    }
}
