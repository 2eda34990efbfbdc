// Keyformer, arXiv 2403.09054: a worked example by hand.
#include <weir/cache/eviction/key_tokens.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

using weir::key_tokens, weir::window;
using indices = std::vector<std::uint64_t>;
using keep_type = weir::keep<window, key_tokens>;
using bench = weir::testing::policy_bench<keep_type>;

namespace {

const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 2};

/// The noise that a row puts on an entry, in head `head` of a block that starts at head `first`.
float noise(std::uint64_t seed, std::uint64_t head_index, std::size_t first, std::size_t head,
            std::uint64_t row, std::uint64_t entry) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  const auto own =
      weir::philox({low(row), high(row), low(head_index),
                    static_cast<std::uint32_t>(weir::purpose::scoring) << 24 | low(first)},
                   {low(seed), high(seed)});
  const auto words = weir::philox<7>({low(entry), high(entry), own[2], own[3]}, {own[0], own[1]});
  return std::numbers::ln2_v<float> * weir::simd::gumbel_bits(words[head - first]);
}

/// Logits that, with the row's own noise, are as with the noise `zeta`.
std::vector<float> with_noise(const indices& entries, std::vector<float> x,
                              const std::vector<float>& zeta) {
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] += zeta[i] - noise(7, 0, 0, 0, entries.back(), entries[i]);
  return x;
}

/// The example's first row.
const indices six{0, 1, 2, 3, 4, 5};
const std::vector<float> six_logits{2, 1, .5f, .2f, 1.5f, .3f},
    six_zetas{-.5f, 1.2f, .1f, 2.0f, -.3f, .4f};

/// Keeps the prompt's six tokens until all have come: the example shrinks the cache to four only
/// then, and the cadence is 1 all the same.
struct prompt {
  std::size_t budget = 6;
  void select(weir::selection& open) const {
    for (std::size_t i = 0; open.view().boundary().value < 6 && i < open.size(); ++i) open.take(i);
  }
};
using example = weir::testing::policy_bench<weir::keep<prompt, window, key_tokens>>;

/// Token 6 comes at t = 1 of T = 4: the temperature is 1.25.
const key_tokens scoring{.budget = 2, .prompt = 6, .planned = 4, .seed = 7};

/// The next row is that of token 5, which has all six in view and found nothing yet.
void drive(example& b) {
  for (std::uint64_t i = 0; i < 6; ++i) b.append();
}

void check_scores(const example& b, const indices& entries, const std::vector<float>& expected) {
  REQUIRE(entries.size() == expected.size());
  for (std::size_t i = 0; i < entries.size(); ++i)
    CHECK(std::abs(b.note<2>(entries[i]) - expected[i]) <= 1e-5f);
}

}  // namespace

TEST_CASE("key tokens gather a softmax of logits and noise at a rising temperature") {
  example b({prompt{}, window{2}, scoring}, shape);
  drive(b);
  b.observe_logits(0, 0, with_noise(six, six_logits, six_zetas));
  check_scores(b, six, {.150961f, .303998f, .061376f, .303998f, .111835f, .067831f});
  b.decide();
  CHECK(b.kept() == indices{1, 3, 4, 5});

  b.append();
  const indices five{1, 3, 4, 5, 6};
  std::vector<float> before;
  for (const std::uint64_t i : five) before.push_back(b.note<2>(i));
  b.observe_logits(0, 0, with_noise(five, {.8f, 1.0f, .2f, .4f, .9f}, {.3f, .5f, .1f, -.1f, .2f}));
  const float s[] = {.225646f, .310744f, .118982f, .118982f, .225646f};
  for (std::size_t i = 0; i < 5; ++i)
    CHECK(std::abs(b.note<2>(five[i]) - before[i] - s[i]) <= 1e-5f);
  check_scores(b, five, {.529645f, .614742f, .230816f, .186813f, .225646f});
  b.decide();
  CHECK(b.kept() == indices{1, 3, 5, 6});
}

TEST_CASE("without noise the example keeps what a plain softmax ranks first") {
  example b({prompt{}, window{2}, scoring}, shape);
  drive(b);
  b.observe_logits(0, 0, with_noise(six, six_logits, std::vector<float>(6, 0.0f)));
  b.decide();
  CHECK(b.kept() == indices{0, 1, 4, 5});
}

TEST_CASE("at another temperature the same noise gives other scores") {
  key_tokens warm = scoring;
  warm.tau_init = warm.tau_end = 1.5f;
  example b({prompt{}, window{2}, warm}, shape);
  drive(b);
  b.observe_logits(0, 0, with_noise(six, six_logits, six_zetas));
  check_scores(b, six, {.162773f, .259569f, .089332f, .259569f, .133267f, .09549f});
}

TEST_CASE("the temperature rises from the first token behind the prompt to the last one planned") {
  const key_tokens policy{.budget = 4, .prompt = 6, .planned = 4};
  for (const std::uint64_t before : {0u, 5u}) CHECK(policy.temperature(before) == 1);
  CHECK(policy.temperature(6) == 1.25f);
  CHECK(policy.temperature(9) == 2);
  CHECK(policy.temperature(1'000'000) == 2);
}

TEST_CASE(
    "frozen after the prompt, tokens that leave the window are dropped whatever their score") {
  for (const bool frozen : {false, true}) {
    bench b({window{2},
             {.budget = 2, .prompt = 4, .planned = 4, .frozen_after_prompt = frozen, .recent = 2}},
            shape);
    for (std::size_t i = 0; i < 4; ++i) b.append();
    for (std::size_t i = 4; i < 8; ++i) {
      b.append();
      std::vector<float> newest(5, -50.0f);
      newest.back() = 50;
      b.observe_logits(0, 0, newest);
      b.decide();
    }
    CHECK(b.kept() == (frozen ? indices{0, 1, 6, 7} : indices{4, 5, 6, 7}));
  }
}

namespace {

/// What one row of a group of `group` heads adds, by slots of given stream indices.
template <class A, std::size_t Heads>
std::vector<float> notes_of(const std::vector<std::uint64_t>& entry,
                            const std::vector<float>& logits, std::size_t group,
                            std::size_t first) {
  const weir::kv_shape wide{.layers = 3, .q_heads = 2 * group, .kv_heads = 2, .head_dim = 2};
  std::vector<float> notes(entry.size(), 0.0f), scratch(4 * entry.size());
  weir::observed_row::record row;
  row.index = (std::uint64_t{1} << 32) + 77, row.boundary = row.index + 1;
  row.logits = logits;
  key_tokens{.budget = 4, .seed = 99}.add_heads<A>(
      weir::observed_row(wide, 2, 1, row, entry, {notes, entry.size(), {}, scratch}), first, Heads);
  return notes;
}

}  // namespace

TEMPLATE_TEST_CASE("every width adds the same bits, which are those of the definition", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t n = 96, group = 6;
  std::vector<std::uint64_t> entry(n);
  for (std::size_t s = 0; s < n; ++s) entry[s] = (s * 37 % n) + (s % 2 == 0 ? 0 : 1ull << 32);
  auto logits = weir_test::random_floats(group * n, 1, 3.0f);
  for (std::size_t h = 0; h < group; ++h)
    logits[h * n + 11] = -std::numeric_limits<float>::infinity();

  const auto found = notes_of<TestType, 2>(entry, logits, group, 4);
  const auto same = notes_of<weir_test::sse2, 2>(entry, logits, group, 4);
  for (std::size_t s = 0; s < n; ++s)
    REQUIRE(std::bit_cast<std::uint32_t>(found[s]) == std::bit_cast<std::uint32_t>(same[s]));
  std::vector<double> expected(n, 0.0);
  for (std::size_t h = 4; h < 6; ++h) {
    std::vector<double> e(n);
    double sum = 0;
    const std::uint64_t row = (std::uint64_t{1} << 32) + 77;
    for (std::size_t s = 0; s < n; ++s)  // far behind the prompt τ is τ_end, 2
      sum += e[s] = std::exp((double{logits[h * n + s]} + noise(99, 5, 4, h, row, entry[s])) / 2);
    for (std::size_t s = 0; s < n; ++s) expected[s] += e[s] / sum / group;
  }
  CHECK(found[11] == 0);
  for (std::size_t s = 0; s < n; ++s) CHECK(std::abs(found[s] - expected[s]) <= 1e-6);
}

TEST_CASE("logits may lie farther apart than there are slots") {
  constexpr std::size_t n = 32, group = 4, room = 48;
  std::vector<std::uint64_t> entry(n);
  for (std::size_t s = 0; s < n; ++s) entry[s] = s;
  const auto close = weir_test::random_floats(group * n, 5, 2.0f);
  std::vector<float> apart(group * room, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t h = 0; h < group; ++h) std::copy_n(&close[h * n], n, &apart[h * room]);
  CHECK(notes_of<weir_test::native, 4>(entry, close, group, 0) ==
        notes_of<weir_test::native, 4>(entry, apart, group, 0));
}

TEST_CASE("a row's noise follows its entries from slot to slot") {
  constexpr std::size_t n = 32;
  std::vector<std::uint64_t> entry(n);
  for (std::size_t s = 0; s < n; ++s) entry[s] = 1000 + s;
  const std::vector<float> logits(4 * n, 0.0f);
  const auto straight = notes_of<weir_test::native, 4>(entry, logits, 4, 0);
  for (std::size_t s = 0; s < n; ++s) entry[s] = 1000 + n - 1 - s;
  const auto turned = notes_of<weir_test::native, 4>(entry, logits, 4, 0);
  for (std::size_t s = 0; s < n; ++s)
    CHECK(std::abs(straight[s] - turned[n - 1 - s]) <= 1e-7f);  // sums run in the order of slots
  CHECK(straight[0] != straight[1]);
}
