// Numbers beyond what a codec holds: held by a power of two, refused, or cut and counted; never in
// silence, and never because of a draft that did not come true.
#include <cmath>
#include <limits>
#include <vector>

#include <weir/cache/kv_cache.hpp>

#include "cache/any_cache.hpp"
#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir_test;
using weir::overflow;

setup usual(overflow rule, codec stored = codec::f16) {
  setup s;
  s.stored = stored;
  s.keeps = policy::sinks_window;
  s.sinks = 2;
  s.window = 40;
  s.options.max_rows = 20;
  s.options.max_draft_rows = 4;
  s.options.on_overflow = rule;
  s.options.ranges.assign(s.shape.total_kv_heads(), {2e5f, 2e5f});
  return s;
}
/// 50 names, of which every tenth has numbers beyond f16.
std::vector<token_name> some_outsize() {
  std::vector<token_name> names = names_of(50, 7);
  for (std::uint32_t i = 3; i < names.size(); i += 10) names[i] = outsize(i);
  return names;
}
/// An outsize token has a key and a value number for each KV head of each layer.
std::uint64_t cut_by(const setup& s, std::uint64_t tokens) {
  return 2 * s.shape.total_kv_heads() * tokens;
}

const weir::row draft{weir::row::previous, true};

}  // namespace

TEST_CASE("a power of two holds what f16 does not") {
  const std::vector<token_name> names = some_outsize();
  setup exact = usual(overflow::scale, codec::f32);
  const auto full = make_cache(exact);
  const auto expected = append(*full, exact.shape, names, 1);
  const setup s = usual(overflow::scale);
  const auto cache = make_cache(s);
  const auto out = append(*cache, s.shape, names, 7);
  CHECK(cache->stats().cut == 0);
  for (std::size_t t = 0; t < names.size(); ++t) {
    float most = 0, error = 0;
    for (std::size_t i = 0; i < out[t].size(); ++i) {
      most = std::max(most, std::abs(expected[t][i]));
      error = std::max(error, std::abs(out[t][i] - expected[t][i]));
    }
    CHECK(error <= 0x1p-7f * most);
  }
  // What is read back is what was written.
  for (std::size_t layer = 0; layer < s.shape.layers; ++layer)
    for (const entry_copy& e : entries_of(*cache, layer, 0)) {
      if (!is_outsize(names[e.index])) continue;
      CHECK(std::abs(e.value.back() - 2e5f) <= 2e5f * 0x1p-11f);
    }
}

TEST_CASE("numbers beyond the codec are refused, by token and by what would hold them") {
  const std::vector<token_name> names = some_outsize();
  setup unknown = usual(overflow::scale);
  unknown.options.ranges.clear();
  setup wrong = usual(overflow::scale);
  wrong.options.ranges.assign(wrong.shape.total_kv_heads(), {2e5f, 1});
  for (const setup& s : {usual(overflow::refuse), unknown, wrong})
    for (const std::size_t chunk : {1u, 7u}) {
      const auto cache = make_cache(s);
      append(*cache, s.shape, std::span(names).first(3), 3);
      require_refused<weir::error::overflow>(
          [&] { append(*cache, s.shape, std::span(names).subspan(3), chunk); },
          {"attend: ", "token 3 ", "65504", "expected", "overflow::warn"});
      cache->rollback();
      CHECK(cache->stats().cut == 0);
      cache->reset();
      const std::vector<token_name> others = names_of(30, 5);
      const auto again = make_cache(s);
      CHECK(append(*cache, s.shape, others, 5) == append(*again, s.shape, others, 4));
    }
}

TEST_CASE("what is cut is counted, in chunks of any size") {
  const std::vector<token_name> names = some_outsize();
  for (const codec stored : codecs) {
    setup s = usual(overflow::warn, stored);
    const auto one_by_one = make_cache(s);
    const auto expected = append(*one_by_one, s.shape, names, 1);
    CHECK(one_by_one->stats().cut == (stored == codec::f16 ? cut_by(s, 5) : 0));
    for (const auto& row : expected)
      for (const float x : row) REQUIRE(std::isfinite(x));
    const auto cache = make_cache(s);
    CHECK(append(*cache, s.shape, names, 17) == expected);
    CHECK(cache->stats().cut == one_by_one->stats().cut);
    cache->reset();
    CHECK(cache->stats().cut == 0);
  }
}

TEST_CASE("a draft that does not come true is not counted, and refused by nobody") {
  const std::vector<token_name> names = some_outsize();
  for (const overflow rule : {overflow::warn, overflow::refuse}) {
    const setup s = usual(rule);
    const auto cache = make_cache(s);
    append(*cache, s.shape, std::span(names).first(3), 3);
    const std::vector<token_name> rows{names_of(1, 3)[0], outsize(1)};
    const std::vector<weir::row> kinds{weir::row{}, draft};
    attend_rows(*cache, s.shape, kinds, rows);
    cache->commit({});
    CHECK(cache->stats().cut == 0);
    attend_rows(*cache, s.shape, kinds, rows);
    if (rule == overflow::refuse) {
      const std::size_t path[] = {1};
      require_refused<weir::error::overflow>([&] { cache->commit(path); },
                                             {"commit: ", "token 5 ", "65504", "expected"});
      cache->commit({});
      CHECK(cache->length() == 5);
      continue;
    }
    const std::size_t path[] = {1};
    cache->commit(path);
    CHECK(cache->stats().cut == cut_by(s, 1));
    cache->take_back();
    CHECK(cache->stats().cut == 0);
  }
}

TEST_CASE("ranges are one for each KV head, or none") {
  setup s = usual(overflow::scale);
  s.options.ranges.pop_back();
  require_refused<weir::error::bad_config>([&] { make_cache(s); },
                                           {"cache_options.ranges: 3", "expected none, or 4"});
  s.options.ranges.push_back({-1, 0});
  require_refused<weir::error::bad_config>([&] { make_cache(s); },
                                           {"cache_options.ranges: -1", "layer 1, KV head 1"});
  s.options.ranges.back() = {std::numeric_limits<float>::quiet_NaN(), 0};
  require_refused<weir::error::bad_config>([&] { make_cache(s); }, {"expected 0 or more"});
}

TEST_CASE("powers of two bring numbers to where every codec holds them") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float usual : {0.0f, 1.0f, 50.0f, 0x1.FFFFFEp14f, infinity})
    CHECK(weir::kv_scales::exponent(usual) == 0);
  CHECK(weir::kv_scales::exponent(0x1p15f) == 1);
  CHECK(weir::kv_scales::exponent(0x1p20f) == 6);
  CHECK(weir::kv_scales::exponent(0.99f) == -1);
  CHECK(weir::kv_scales::exponent(0x1p-20f) == -20);
  CHECK(weir::kv_scales::exponent(0x1p-149f) == -64);
  for (float x = 0x1p-60f; x < 0x1p126f; x *= 3) {
    const float stored = std::ldexp(x, -weir::kv_scales::exponent(x));
    CHECK((stored >= 1 && stored < 0x1p15f));
  }
}
