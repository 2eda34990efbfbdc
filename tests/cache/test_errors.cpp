// Every refusal: the right type, a message that says what was wrong and what was expected, and an
// object that works on as if nothing had been asked.
#include <limits>

#include <weir/cache/kv_cache.hpp>
#include <weir/presets.hpp>

#include "cache/any_cache.hpp"
#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir_test;
using weir::error::bad_call, weir::error::bad_config, weir::error::bad_input;

setup usual(policy keeps = policy::sinks_window) {
  setup s;
  s.keeps = keeps;
  s.sinks = 2;
  s.window = 40;
  s.scored = 10;
  s.options.max_rows = 20;
  s.options.max_draft_rows = 8;
  s.options.max_draft_width = 3;
  s.options.cadence = 16;
  return s;
}

/// Neither the constructor nor required_bytes accepts `s`.
void refuse_config(const setup& s, std::initializer_list<std::string_view> parts) {
  INFO(describe(s));
  require_refused<bad_config>([&] { make_cache(s); }, parts);
  require_refused<bad_config>([&] { required_bytes(s); }, parts);
}

/// A cache in the middle of a stream, beside one to which nothing untoward happens.
struct scene {
  setup s;
  std::unique_ptr<any_cache> cache = make_cache(s), plain = make_cache(s);
  std::uint64_t salt = 0;

  explicit scene(const setup& given, std::size_t tokens = 45) : s(given) { advance(tokens, true); }

  /// Both caches take the same tokens and answer the same.
  void advance(std::size_t tokens = 3, bool first = false) {
    const auto names = names_of(tokens, ++salt);
    const auto a = append(*cache, s.shape, names, 3), b = append(*plain, s.shape, names, 5);
    REQUIRE((first || first_difference(a, b) == tokens));
    REQUIRE(same_entries(*cache, *plain, s.shape));
    REQUIRE(cache->stats().appended == plain->stats().appended);
    REQUIRE(cache->stats().evicted_entries == plain->stats().evicted_entries);
  }

  template <class Error, class F>
  void refuse(F&& f, std::initializer_list<std::string_view> parts) {
    require_refused<Error>(f, parts);
    advance();
  }
};

const weir::row final_row{};
weir::row draft(int parent = weir::row::previous) { return {parent, true}; }

}  // namespace

TEST_CASE("options out of range are refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const policy keeps : policies) {
    setup s = usual(keeps);
    const auto refuse = [&](auto change, std::initializer_list<std::string_view> parts) {
      setup changed = s;
      change(changed);
      refuse_config(changed, parts);
    };
    make_cache(s);
    using std::string_view;
    for (const std::size_t rows : {std::size_t{0}, std::size_t{1} << 21, most})
      refuse([&](setup& x) { x.options.max_rows = rows; },
             {"cache_options.max_rows", "expected 1 to 2^20"});
    for (const std::size_t rows : {std::size_t{65}, most})
      refuse([&](setup& x) { x.options.max_draft_rows = rows; },
             {"cache_options.max_draft_rows", "expected at most 64"});
    for (const std::size_t width : {std::size_t{0}, std::size_t{65}, most})
      refuse([&](setup& x) { x.options.max_draft_width = width; },
             {"cache_options.max_draft_width", "expected 1 to 64"});
    for (const std::size_t cadence : {std::size_t{0}, std::size_t{1} << 21, most})
      refuse([&](setup& x) { x.options.cadence = cadence; },
             {"cache_options.cadence", "expected 1 to 2^20"});
    for (const std::uint64_t first : {std::uint64_t{1}, std::uint64_t{511}, std::uint64_t{256},
                                      std::uint64_t{1} << 63, ~std::uint64_t{511}})
      refuse([&](setup& x) { x.options.first_index = first; },
             {"cache_options.first_index", "multiple of 512 below 2^63"});
    refuse([](setup& x) { x.shape.layers = 0; }, {"kv_shape.layers", "at least 1"});
    refuse([](setup& x) { x.shape.kv_heads = 0; }, {"kv_shape", "KV heads", "expected"});
    refuse([](setup& x) { x.shape.q_heads = 0; }, {"kv_shape", "0 query heads", "expected"});
    refuse([](setup& x) { x.shape.q_heads = 3; }, {"3 query heads over 2 KV heads", "multiple"});
    refuse([](setup& x) { x.shape.layers = std::size_t{1} << 60; }, {"kv_shape", "expected"});
    refuse([](setup& x) { x.shape.kv_heads = x.shape.q_heads = std::size_t{1} << 40; },
           {"kv_shape", "expected"});
    refuse([](setup& x) { x.shape.head_dim = 0; }, {"head_dim: 0", "expected 1 to 512"});
    refuse([](setup& x) { x.shape.head_dim = 513; }, {"head_dim: 513", "expected 1 to 512"});
    refuse([](setup& x) { x.shape.rope.dims = 7; }, {"rope.dims: 7", "even"});
    refuse([](setup& x) { x.shape.rope.dims = 18; }, {"rope.dims: 18", "at most head_dim 16"});
    for (const double base : {0.0, -1.0, 0x1p-53, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN()})
      refuse([&](setup& x) { x.shape.rope.base = base; }, {"rope.base", "finite and positive"});
    refuse([](setup& x) { x.shape.scale = std::numeric_limits<float>::quiet_NaN(); },
           {"kv_shape.scale", "finite"});
    refuse([](setup& x) { x.shape.rope.dims = 0, x.renumbers = true; },
           {"within_cache", "expected unrotated", "rope.dims > 0"});
    const std::size_t reads = make_cache(s)->max_entries();
    refuse([&](setup& x) { x.renumbers = true, x.shape.trained_context = reads - 1; },
           {std::to_string(reads), "trained context of " + std::to_string(reads - 1)});
    s.renumbers = true;
    s.shape.trained_context = reads;
    make_cache(s);
  }
}

TEST_CASE("budgets that keep nothing, or too much, are refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  setup s = usual(policy::everything);
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1} << 32, most}) {
    s.capacity = capacity;
    refuse_config(s, {"keep_all.capacity", std::to_string(capacity), "expected 1 to 2^31"});
  }
  s = usual();
  s.window = 0;
  refuse_config(s, {"window of 0", "at least 1"});
  s.sinks = 0;
  s.window = 1;
  s.options.max_draft_rows = 0;
  refuse_config(s, {"sinks + window of 1", "at least 2"});
  s.sinks = 1;
  make_cache(s);
  for (const std::size_t n : {std::size_t{1} << 32, most, most - 1}) {
    s.sinks = n;
    refuse_config(s, {"keep: budgets of", "expected at most 2^31"});
    s.sinks = 4;
    s.window = n;
    refuse_config(s, {"keep: budgets of", "expected at most 2^31"});
  }
  s = usual();
  s.window = 8;
  refuse_config(s, {"max_draft_rows: 8", "less than the window of 8"});
  s.keeps = policy::window;
  refuse_config(s, {"max_draft_rows: 8", "less than the window of 8"});
  s.window = 9;
  make_cache(s);
  s = usual(policy::scored);
  s.sinks = s.window = 0;
  s.scored = 1;
  refuse_config(s, {"budget of 1", "at least 2"});
  s.scored = 2;
  make_cache(s);
  s.scored = most;
  refuse_config(s, {"keep: budgets of", "expected at most 2^31"});
  s.scored = (std::size_t{1} << 31) - 1;
  refuse_config(s, {"budget + cadence of", "below 2^31"});
}

TEST_CASE("rows that are no chain and tree are refused") {
  for (const policy keeps : policies) {
    scene x(usual(keeps));
    const auto refuse = [&](std::vector<weir::row> rows,
                            std::initializer_list<std::string_view> parts) {
      x.refuse<bad_input>([&] { x.cache->begin(rows); }, parts);
    };
    refuse({}, {"no rows", "at least 1"});
    refuse(std::vector<weir::row>(21), {"21 rows", "max_rows = 20"});
    refuse(std::vector<weir::row>(9, draft()), {"9 provisional rows", "max_draft_rows = 8"});
    refuse({final_row, {weir::row::root, false}}, {"final row 1", "the row before it"});
    refuse({final_row, final_row, {0, false}}, {"final row 2 has parent 0"});
    refuse({{0, false}}, {"final row 0 has parent 0", "the row before it"});
    refuse({{-7, false}}, {"final row 0 has parent -7"});
    refuse({draft(), final_row}, {"final row 1", "final rows first"});
    refuse({final_row, draft(1)}, {"provisional row 1 has parent 1", "earlier"});
    refuse({final_row, draft(5)}, {"provisional row 1 has parent 5", "earlier"});
    refuse({final_row, draft(-3)}, {"provisional row 1 has parent -3", "or the root"});
    refuse({final_row, final_row, draft(0)}, {"provisional row 2 has parent 0", "or the root"});
    refuse({draft(std::numeric_limits<int>::min())}, {"provisional row 0"});
    refuse({draft(std::numeric_limits<int>::max())}, {"provisional row 0"});
    refuse({final_row, draft(-1), draft(-1), draft(-1), draft(0)},
           {"number 4 at its depth", "max_draft_width = 3"});
  }
}

TEST_CASE("drafts beyond the next boundary are refused") {
  scene x(usual(policy::scored), 45);  // boundaries at 48 and 64
  CHECK(x.cache->draft_room(0) == 3);
  CHECK(x.cache->draft_room(1) == 2);
  CHECK(x.cache->draft_room(3) == 0);
  CHECK(x.cache->draft_room(4) == 8);
  require_refused<bad_input>([&] { x.cache->begin(std::vector<weir::row>(4, draft())); },
                             {"4 deep", "at most 3", "next boundary"});
  require_refused<bad_input>(
      [&] {
        x.cache->begin(std::vector<weir::row>{final_row, draft(), draft(), draft()});
      },
      {"3 deep", "at most 2"});
  x.advance(3);  // the boundary at 48 is due, and runs with the next final row
  CHECK(x.cache->draft_room(0) == 0);
  CHECK(x.cache->draft_room(1) == 8);
  x.refuse<bad_input>([&] { x.cache->begin(std::vector<weir::row>{draft()}); },
                      {"1 deep", "at most 0"});
}

TEST_CASE("a cache that keeps everything refuses what does not fit") {
  setup s = usual(policy::everything);
  s.capacity = 50;
  scene x(s, 44);
  CHECK(x.cache->room() == 6);
  require_refused<bad_input>([&] { x.cache->begin(std::vector<weir::row>(7)); },
                             {"7 more tokens", "room for 6", "keep_all"});
  require_refused<bad_input>(
      [&] {
        std::vector<weir::row> rows(5);
        rows.push_back(draft());
        rows.push_back(draft());
        x.cache->begin(rows);
      },
      {"7 more tokens", "room for 6"});
  x.advance(6);
  CHECK(x.cache->room() == 0);
  require_refused<bad_input>([&] { x.cache->begin(std::vector<weir::row>(1)); },
                             {"1 more tokens", "room for 0"});
  x.cache->take_back();
  CHECK(x.cache->room() == 1);
  append(*x.cache, s.shape, names_of(1, 99), 1);
  x.cache->reset();
  CHECK(x.cache->room() == 50);
  append(*x.cache, s.shape, names_of(50, 100), 20);
}

TEST_CASE("what belongs to a step is refused where none was begun") {
  const auto cache = make_cache(usual());
  require_refused<bad_call>([&] { cache->commit({}); }, {"commit: no step is open"});
  require_refused<bad_call>([&] { cache->extend({}); }, {"extend: no step is open"});
  require_refused<bad_call>([&] { cache->attend(0, {}, {}, {}, {}); }, {"attend: no step"});
}

TEST_CASE("no token can be told of behind a boundary that has yet to run") {
  using cache = weir::kv_cache<weir::f32, weir::keep<weir::token_surprisal>>;
  const weir::kv_shape one{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 8};
  cache c(one, weir::keep(weir::token_surprisal{8}), {.cadence = 4});
  for (std::uint64_t i = 0; i <= 4; ++i) c.tell_log_probability(i, -1);
  require_refused<bad_call>([&] { c.tell_log_probability(5, -1); },
                            {"token 5", "boundary at 4", "expected once"});
}

TEST_CASE("policies whose numbers make no sense are refused before anything is allocated") {
  using namespace weir;
  const kv_shape one{.layers = 1, .q_heads = 2, .kv_heads = 2, .head_dim = 8};
  const auto refused = [&]<class Keep>(const Keep& keep, std::string_view part) {
    using cache = kv_cache<f32, Keep, positions::original, layouts::paged>;
    require_refused<bad_config>([&] { cache c(one, keep); }, {part, "expected"});
    require_refused<bad_config>([&] { cache::required_bytes(one, keep); }, {part, "expected"});
  };
  refused(keep(adaptive_sinks{0, 2}, window{8}), "adaptive_sinks.chunk: 0");
  refused(keep(rolling_chunks{0, 2}, random_tokens{8}), "rolling_chunks.chunk: 0");
  refused(keep(adaptive_heads<heavy_hitters>(heavy_hitters{8}, 1.5f)), "adaptive_heads.alpha: 1.5");
  refused(keep(expected_attention{.budget = 8, .ahead = 0}), "expected_attention.ahead: 0");
  refused(keep(frame_diversity{8, 0, 0}), "frame_diversity.temperature: 0");
  refused(keep(token_surprisal{8, 0}), "token_surprisal.decay: 0");
  refused(keep(key_tokens{.budget = 8, .tau_end = -1}), "key_tokens: a temperature of -1");
  refused(
      per_head<keep<key_norm>, keep<key_tokens>>{
          keep(key_norm{8}), keep(key_tokens{.budget = 8, .tau_init = 0}), {0, 1}},
      "key_tokens: a temperature of 0");
}

TEST_CASE("recipes refuse a budget that cannot be shared out, and pools need pages") {
  using namespace weir;
  require_refused<bad_config>([] { presets::recipes::rolling_forcing::of({.entries = 3}); },
                              {"recipes: a budget of 3", "at least 16"});
  const kv_shape one{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 8};
  require_refused<bad_config>([&] { kv_cache<f32, keep_all> c(one, {32}, {.extra_pages = 4}); },
                              {"cache_options.extra_pages: 4", "layouts::contiguous"});
}

TEST_CASE("heads over all layers have a bound") {
  weir::kv_shape s{.layers = 1 << 11, .q_heads = 1 << 10, .kv_heads = 1, .head_dim = 8};
  require_refused<bad_config>([&] { validate(s); }, {"2048 layers of 1024 query", "at most 2^20"});
}

TEST_CASE("a keep_all head among others needs a capacity") {
  using mixed = weir::per_head<weir::keep<weir::random_tokens>, weir::keep_all>;
  const weir::kv_shape one{.layers = 1, .q_heads = 2, .kv_heads = 2, .head_dim = 8};
  for (const std::size_t capacity : {std::size_t{0}, ~std::size_t{0}, (std::size_t{1} << 31) + 1})
    require_refused<bad_config>(
        [&] {
          weir::kv_cache<weir::f32, mixed>::required_bytes(
              one, {weir::keep(weir::random_tokens{8}), weir::keep_all{capacity}, {0, 1}});
        },
        {"keep_all.capacity", "expected 1 to 2^31"});
}

TEST_CASE("calls out of turn are refused and change nothing") {
  for (const policy keeps : policies)
    for (const bool renumbers : {false, true}) {
      setup s = usual(keeps);
      s.renumbers = renumbers;
      scene x(s);
      const weir::kv_shape& shape = s.shape;
      const std::vector<weir::row> rows{final_row, draft(), draft(), draft(0), draft(3)};
      REQUIRE(x.cache->draft_room(1) >= 2);
      auto names = names_of(rows.size(), 70);
      layer_rows in;
      make_rows(shape, names, 0, in);
      any_cache& c = *x.cache;
      const auto attend = [&](std::size_t layer) {
        make_rows(shape, names, layer, in);
        c.attend(layer, in.q, in.k, in.v, in.out);
      };

      const auto look = [](weir::stream_index) {};
      require_refused<bad_input>([&] { c.for_each_index(2, 0, look); }, {"layer 2, KV head 0"});
      require_refused<bad_input>([&] { c.for_each_index(0, 2, look); }, {"expected below 2 and 2"});
      c.begin(rows);
      require_refused<bad_call>([&] { c.begin(rows); }, {"begin", "a step is open", "commit"});
      require_refused<bad_call>([&] { c.for_each_index(0, 0, look); }, {"a step is open"});
      require_refused<bad_call>([&] { c.take_back(); }, {"take_back", "a step is open"});
      require_refused<bad_call>([&] { c.reset(); }, {"reset", "a step is open"});
      require_refused<bad_call>([&] { attend(1); }, {"layer 1", "expected layer 0 of 2"});
      require_refused<bad_call>([&] { c.commit({}); }, {"commit: 0 layers", "all 2"});
      make_rows(shape, names, 0, in);
      const auto wrong = [&](std::size_t q, std::size_t k, std::size_t v, std::size_t o,
                             std::initializer_list<std::string_view> parts) {
        layer_rows y = in;
        y.q.resize(y.q.size() + q);
        y.k.resize(y.k.size() - k);
        y.v.resize(y.v.size() + v);
        y.out.resize(y.out.size() - o);
        require_refused<bad_input>([&] { c.attend(0, y.q, y.k, y.v, y.out); }, parts);
      };
      wrong(1, 0, 0, 0, {"q and out", "5 rows of 64"});
      wrong(0, 1, 0, 0, {"k and v", "5 rows of 32"});
      wrong(0, 0, 32, 0, {"k and v", "5 rows of 32"});
      wrong(0, 0, 0, 64, {"q and out", "5 rows of 64"});
      wrong(0, 160, 0, 0, {"k and v of 0"});
      attend(0);
      require_refused<bad_call>([&] { attend(0); }, {"layer 0", "expected layer 1 of 2"});
      require_refused<bad_call>([&] { c.commit({}); }, {"commit: 1 layers", "all 2"});
      attend(1);
      require_refused<bad_call>([&] { attend(2); }, {"layer 2", "of 2"});
      const auto refuse_more = [&](std::vector<weir::row> more, std::string_view part) {
        require_refused<bad_input>([&] { c.extend(more); }, {part});
        require_refused<bad_call>([&] { attend(0); }, {"layer 0", "expected layer 2 of 2"});
      };
      refuse_more({final_row}, "final row 5 follows a provisional one");
      refuse_more({draft(1), draft(6)}, "provisional row 6 has parent 6");
      refuse_more(std::vector<weir::row>(200, draft()), "205 rows (expected at most max_rows");
      refuse_more(std::vector<weir::row>(s.options.max_draft_rows - 3, draft(0)),
                  "provisional rows (expected at most max_draft_rows");
      const auto bad_path = [&](std::vector<std::size_t> path, std::string_view part) {
        require_refused<bad_input>([&] { c.commit(path); }, {part, "expected a provisional row"});
      };
      bad_path({0}, "row 0 at place 0");
      bad_path({2}, "row 2 at place 0");
      bad_path({1, 4}, "row 4 at place 1");
      bad_path({1, 1}, "row 1 at place 1");
      bad_path({3, 2}, "row 2 at place 1");
      bad_path({1, 2, 3}, "row 3 at place 2");
      bad_path({5}, "row 5 at place 0");
      bad_path({std::numeric_limits<std::size_t>::max()}, "at place 0");
      CHECK(c.stats().appended == x.plain->stats().appended);
      const std::size_t path[] = {3, 4};
      c.extend(std::vector<weir::row>{draft(3)});
      require_refused<bad_call>([&] { c.commit(path); }, {"commit: 0 layers", "all 2"});
      make_rows(shape, std::span(names).first(1), 0, in);
      c.attend(0, in.q, in.k, in.v, in.out);
      require_refused<bad_call>([&] { c.commit(path); }, {"commit: 1 layers", "all 2"});
      c.attend(1, in.q, in.k, in.v, in.out);
      CHECK(c.commit(path).appended == 3);
      append(*x.plain, shape, std::vector<token_name>{names[0], names[3], names[4]}, 1);
      x.advance();
      require_refused<bad_call>([&] { attend(0); }, {"attend: the step is closed"});
      require_refused<bad_call>([&] { c.commit({}); }, {"commit: the step is closed"});
      require_refused<bad_call>([&] { c.extend(rows); }, {"extend: the step is closed"});
      x.advance();
    }
}

TEST_CASE("only the last token can be taken back, once") {
  for (const policy keeps : policies) {
    const setup s = usual(keeps);
    const auto cache = make_cache(s);
    const auto refuse = [&] {
      require_refused<bad_call>([&] { cache->take_back(); }, {"take_back", "last token", "once"});
    };
    refuse();
    append(*cache, s.shape, names_of(5, 1), 5);
    cache->take_back();
    CHECK(cache->length() == 4);
    refuse();
    CHECK(cache->length() == 4);
    append(*cache, s.shape, names_of(1, 2), 1);
    cache->take_back();
    // A step that appends nothing gives no second chance, nor does one taken back.
    attend_rows(*cache, s.shape, std::vector<weir::row>{draft()}, names_of(1, 3));
    cache->commit({});
    refuse();
    attend_rows(*cache, s.shape, std::vector<weir::row>{draft()}, names_of(1, 4));
    cache->rollback();
    refuse();
    append(*cache, s.shape, names_of(1, 5), 1);
    cache->reset();
    refuse();
    CHECK(cache->length() == 0);
  }
}

TEST_CASE("final rows given up half-way leave a stream that can only be reset") {
  for (const policy keeps : policies) {
    const setup s = usual(keeps);
    const auto cache = make_cache(s), fresh = make_cache(s);
    append(*cache, s.shape, names_of(47, 1), 10);
    const auto names = names_of(2, 2);
    layer_rows in;
    make_rows(s.shape, names, 0, in);
    cache->begin(std::vector<weir::row>(2));
    cache->attend(0, in.q, in.k, in.v, in.out);
    cache->rollback();
    require_refused<bad_call>([&] { cache->begin(std::vector<weir::row>(1)); },
                              {"begin", "half-way", "only be reset"});
    require_refused<bad_call>([&] { cache->take_back(); }, {"take_back", "only be reset"});
    cache->reset();
    const auto again = names_of(60, 3);
    REQUIRE(first_difference(append(*cache, s.shape, again, 7),
                             append(*fresh, s.shape, again, 9)) == 60);
    REQUIRE(same_entries(*cache, *fresh, s.shape));
    // Rows that no layer has seen are given up without harm.
    cache->begin(std::vector<weir::row>(2));
    cache->rollback();
    CHECK(cache->length() == 60);
    append(*cache, s.shape, names, 2);
  }
}

TEST_CASE("a draft longer than the window, and a prompt longer than it") {
  setup s = usual(policy::window);
  s.window = 4;
  s.options.max_draft_rows = 3;
  scene x(s, 100);  // a prompt longer than the window is no error
  require_refused<bad_input>([&] { x.cache->begin(std::vector<weir::row>(4, draft())); },
                             {"4 provisional rows", "max_draft_rows = 3"});
  CHECK(x.cache->draft_room(0) == 3);
  attend_rows(*x.cache, s.shape, std::vector<weir::row>(3, draft()), names_of(3, 9));
  x.cache->rollback();
  x.advance(10);
}
