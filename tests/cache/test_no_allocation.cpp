// A cache takes all its memory when it is made: exactly what required_bytes announced, and nothing
// after that.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "cache/any_cache.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"

namespace {

using namespace weir_test;

struct memory_count {
  std::size_t calls = weir_test::allocation_count();
  std::size_t aligned_bytes = weir_test::aligned_bytes_asked();
};
memory_count memory_now() { return {}; }

setup drawn(dice& random, codec stored, policy keeps, bool renumbers) {
  setup s;
  s.stored = stored;
  s.keeps = keeps;
  s.renumbers = renumbers;
  s.capacity = 12000;
  s.sinks = random.within(0, 40);
  s.window = random.within(20, 700);
  s.scored = random.within(0, 300);
  s.shape.layers = random.within(1, 3);
  s.shape.q_heads = 2 * random.within(1, 9);
  s.shape.head_dim = 8 * random.within(1, 5);
  s.shape.rope.dims = 8;
  s.options.max_rows = random.within(8, 40);
  s.options.max_draft_rows = random.within(6, 19);
  s.options.max_draft_width = random.within(2, 5);
  s.options.cadence = random.within(1, 60);
  return s;
}

template <class Body>
void for_each_type(Body body) {
  dice random{11};
  for (const codec stored : codecs)
    for (const policy keeps : policies)
      for (const bool renumbers : {false, true}) {
        const setup s = drawn(random, stored, keeps, renumbers);
        INFO(describe(s));
        body(s);
      }
}

}  // namespace

TEST_CASE("the counters count") {
  const auto before = memory_now();
  delete new int;
  ::operator delete(::operator new(100, std::align_val_t{64}), std::align_val_t{64});
  const auto after = memory_now();
  CHECK(after.calls >= before.calls + 2);
  CHECK(after.aligned_bytes == before.aligned_bytes + 100);
}

TEST_CASE("a cache allocates what required_bytes says") {
  for_each_type([](const setup& s) {
    const std::size_t announced = required_bytes(s);
    const auto before = memory_now();
    const auto cache = make_cache(s);
    const auto after = memory_now();
    CHECK(after.aligned_bytes - before.aligned_bytes == announced);
    CHECK(cache->bytes() == announced);
  });
}

TEST_CASE("required_bytes allocates nothing that grows with the cache") {
  setup s;
  s.capacity = std::size_t{1} << 31;  // would be terabytes
  s.shape.layers = 1000;
  const auto before = memory_now();
  const std::size_t bytes = required_bytes(s);
  const auto after = memory_now();
  CHECK(bytes > std::size_t{1} << 46);
  CHECK(after.aligned_bytes == before.aligned_bytes);
}

TEST_CASE("1000 steps of decoding allocate nothing") {
  for_each_type([](const setup& s) {
    const auto cache = make_cache(s);
    std::array<weir::row, 7> rows{};
    std::array<token_name, 7> names{};
    layer_rows x;
    make_rows(s.shape, names, 0, x);  // takes the memory for the longest step
    const auto before = memory_now();
    for (std::size_t t = 0; t < 1000; ++t) {
      const std::size_t finals = t % 11 == 3 ? 5 : t % 5 == 4 ? 0 : 1;
      const std::size_t deep = std::min<std::size_t>(cache->draft_room(finals), 3);
      std::size_t n = 0;
      for (; n < finals; ++n) rows[n] = {};
      for (std::size_t d = 0; d < deep && n < rows.size() && t % 3 != 0; ++d)
        rows[n++] = {d == 0 ? weir::row::root : weir::row::previous, true};
      if (n > finals && n < rows.size()) rows[n++] = {weir::row::root, true};
      if (n == 0) continue;
      for (std::size_t r = 0; r < n; ++r) names[r] = mix(t * 8 + r) & ~poison;
      cache->begin(std::span(rows).first(n));
      for (std::size_t layer = 0; layer < s.shape.layers; ++layer) {
        make_rows(s.shape, std::span(names).first(n), layer, x);
        cache->attend(layer, x.q, x.k, x.v, x.out);
      }
      const std::size_t path[] = {finals};
      if (n > finals && t % 2 == 0)
        cache->commit(path);
      else if (finals > 0)
        cache->commit({});
      else
        cache->rollback();
      if (t % 17 == 0 && finals > 0) cache->take_back();
      if (t == 700) cache->reset();
    }
    const auto after = memory_now();
    CHECK(cache->stats().appended > 100);
    CHECK(after.calls == before.calls);
  });
}
