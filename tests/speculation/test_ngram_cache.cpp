#include <weir/speculation/drafters/ngram_cache.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "speculation/drafter_checks.hpp"
#include "support/refusal.hpp"

using weir::follower, weir::ngram_cache, weir::ngram_corpus, weir::ngram_corpus_builder,
    weir::ngram_table;
using weir_test::ids;

namespace {

using counts = std::vector<std::pair<weir::token_id, std::uint64_t>>;

/// llama.cpp's rule over maps that forget nothing.
struct reference {
  std::map<ids, counts> own, shared, corpus;

  static void count(std::map<ids, counts>& table, const ids& ngram, weir::token_id token) {
    auto& all = table[ngram];
    const auto at =
        std::find_if(all.begin(), all.end(), [token](const auto& f) { return f.first == token; });
    if (at == all.end())
      all.push_back({token, 1});
    else
      ++at->second;
  }
  static void count_all(std::map<ids, counts>& table, const ids& tokens, std::size_t shortest,
                        std::size_t longest) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      for (std::size_t n = shortest; n <= std::min(longest, i); ++n)
        count(table,
              ids(tokens.begin() + static_cast<std::ptrdiff_t>(i - n),
                  tokens.begin() + static_cast<std::ptrdiff_t>(i)),
              tokens[i]);
  }
  static ids last(const ids& line, std::size_t n) {
    return {line.end() - static_cast<std::ptrdiff_t>(n), line.end()};
  }

  weir::token_id primary(const std::map<ids, counts>& table, const weir::ngram_limits& limits,
                         const ids& line) const {
    const auto fixed = line.size() >= 2 ? corpus.find(last(line, 2)) : corpus.end();
    for (std::size_t n = std::min<std::size_t>(4, line.size()); n > 0; --n) {
      const auto found = table.find(last(line, n));
      if (found == table.end()) continue;
      std::uint64_t best = 0, best_count = 0, sum = 0;
      weir::token_id token = -1;
      for (const auto& [t, c] : found->second) {
        std::uint64_t weight = 1;
        if (fixed != corpus.end())
          for (const auto& [u, d] : fixed->second)
            if (u == t) weight = 100 * d;
        if (c * weight > best) best = c * weight, best_count = c, token = t;
        sum += c;
      }
      if (sum < limits.seen[n - 1] || 100 * best_count < limits.percent[n - 1] * sum) continue;
      return token;
    }
    return -1;
  }
  weir::token_id alone(const ids& line) const {
    if (line.size() < 2) return -1;
    const auto found = corpus.find(last(line, 2));
    if (found == corpus.end()) return -1;
    std::uint64_t best = 0, sum = 0;
    weir::token_id token = -1;
    for (const auto& [t, c] : found->second) {
      if (c > best || (c == best && t < token)) best = c, token = t;
      sum += c;
    }
    return sum < 2 || 100 * best < 50 * sum ? -1 : token;
  }
  ids drafts(ids line, std::size_t most) const {
    const ngram_cache defaults;
    ids out;
    while (out.size() < most) {
      auto t = primary(own, defaults.lax, line);
      if (t < 0) t = primary(shared, defaults.strict, line);
      if (t < 0) t = alone(line);
      if (t < 0) break;
      out.push_back(t);
      line.push_back(t);
    }
    return out;
  }
};

/// A drafter that only looks at n-grams of one length.
ngram_cache only(std::size_t n) {
  ngram_cache s;
  s.longest = s.shortest = n;
  s.tokens = 1;
  s.ngrams = 1024;
  return s;
}

ids after(const ngram_cache& settings, const ids& tokens) {
  ngram_cache::state state(settings, {});
  state.append(tokens);
  return weir_test::drafts_of(weir_test::drafted(state, tokens.back(), settings.limits()));
}

/// A table in which n-gram 1, 2, …, n was followed by the tokens.
std::shared_ptr<ngram_table> seen(std::size_t n, const ids& followers) {
  auto table = std::make_shared<ngram_table>(64);
  const ids ngram{1, 2, 3, 4};
  for (const auto t : followers) table->count(std::span(ngram).first(n), t);
  return table;
}

/// What is drafted behind n-gram 1, 2, …, n if only a shared table knows of it.
ids by_shared(std::size_t n, const ids& followers) {
  ngram_cache s = only(n);
  s.shared = seen(n, followers);
  s.teaches = false;
  const ids ngram{1, 2, 3, 4};
  return after(s, {ngram.begin(), ngram.begin() + static_cast<std::ptrdiff_t>(n)});
}

std::shared_ptr<const ngram_corpus> corpus_of(const std::vector<ids>& texts,
                                              std::uint32_t least = 1) {
  ngram_corpus_builder builder;
  for (const ids& t : texts) builder.add(t);
  return std::make_shared<ngram_corpus>(builder.build(least));
}

}  // namespace

TEST_CASE("own n-grams are trusted from their limits on") {
  // One token: seen twice, two thirds followed by the same.
  CHECK(after(only(1), {5, 6, 5}).empty());
  CHECK(after(only(1), {5, 6, 5, 6, 5}) == ids{6});
  CHECK(after(only(1), {5, 6, 5, 7, 5}).empty());
  CHECK(after(only(1), {5, 6, 5, 7, 5, 6, 5}) == ids{6});            // 2 of 3: 66.7 percent
  CHECK(after(only(1), {5, 6, 5, 7, 5, 6, 5, 8, 5, 6, 5}).empty());  // 3 of 5
  // Two tokens: seen twice, half.
  CHECK(after(only(2), {1, 2, 6, 1, 2}).empty());
  CHECK(after(only(2), {1, 2, 6, 1, 2, 7, 1, 2}) == ids{6});
  // Three and four: seen once.
  CHECK(after(only(3), {1, 2, 3, 6, 1, 2, 3}) == ids{6});
  CHECK(after(only(4), {1, 2, 3, 4, 6, 1, 2, 3, 4}) == ids{6});
  CHECK(after(only(4), {1, 2, 3, 6, 1, 2, 3}).empty());
}

TEST_CASE("shared n-grams have to be seen more often") {
  CHECK(by_shared(1, {6, 6, 6}).empty());
  CHECK(by_shared(1, {6, 6, 6, 6}) == ids{6});
  CHECK(by_shared(1, {6, 7, 6, 6}) == ids{6});      // 75 percent
  CHECK(by_shared(1, {6, 7, 6, 6, 6, 7}).empty());  // 66.7
  CHECK(by_shared(2, {6, 6}).empty());
  CHECK(by_shared(2, {6, 6, 7}) == ids{6});
  CHECK(by_shared(3, {6}).empty());
  CHECK(by_shared(3, {6, 6}) == ids{6});
  CHECK(by_shared(4, {6, 7, 6}) == ids{6});
  CHECK(by_shared(4, {6, 7}).empty());
}

TEST_CASE("a corpus speaks where nothing else is known, and weighs in") {
  ngram_cache s = only(2);
  s.corpus = corpus_of({{1, 2, 6}, {1, 2, 7}, {1, 2, 6}, {9, 1, 2}});
  CHECK(after(s, {1, 2}) == ids{6});
  CHECK(after(s, {2, 1}).empty());
  s.corpus = corpus_of({{1, 2, 6}});
  CHECK(after(s, {1, 2}).empty());  // seen once
  s.corpus = corpus_of({{1, 2, 6}, {1, 2, 7}});
  CHECK(after(s, {1, 2}) == ids{6});  // half
  s.corpus = corpus_of({{1, 2, 6}, {1, 2, 7}, {1, 2, 8}});
  CHECK(after(s, {1, 2}).empty());
  // Own counts 6: 1, 7: 1; the corpus knows 7.
  s.corpus = corpus_of({{1, 2, 7}});
  CHECK(after(s, {1, 2, 6, 1, 2, 7, 1, 2}) == ids{7});
  // Its word outweighs counts, and then is too rare: 7 is 1 of 3.
  CHECK(after(s, {1, 2, 6, 1, 2, 6, 1, 2, 7, 1, 2}).empty());
}

TEST_CASE("longer n-grams and the stream's own come first") {
  ngram_cache s;
  s.tokens = 1;
  s.ngrams = 1024;
  // 2 is followed by 8 mostly, (1, 2) by 6.
  const ids tokens{1, 2, 6, 3, 2, 8, 3, 2, 8, 3, 2, 8, 1, 2, 6, 1, 2};
  CHECK(after(s, tokens) == ids{6});
  s.longest = 1;
  CHECK(after(s, {5, 2, 8, 4, 2, 8, 4, 2, 8, 2}) == ids{8});
  s.longest = 4;
  s.shared = seen(2, {9, 9, 9, 9});
  s.teaches = false;
  CHECK(after(s, tokens) == ids{6});
  CHECK(after(s, {1, 2}) == ids{9});
}

TEST_CASE("drafts follow drafts until nothing is known") {
  ngram_cache s;
  s.ngrams = 1024;
  const ids tokens{1, 2, 3, 4, 5, 6, 1, 2, 3};
  CHECK(after(s, tokens) == ids{4, 5, 6, 1, 2, 3, 4, 5, 6, 1});
  s.tokens = 4;
  CHECK(after(s, tokens) == ids{4, 5, 6, 1});
  // Shares are confidences.
  ngram_cache::state state(only(1), {});
  state.append(ids{5, 6, 5, 7, 5, 6, 5, 6});
  CHECK(state.draft({}, ids{5})->token == 6);
  CHECK(state.draft({}, ids{5})->confidence == Approx(.75));
  CHECK_FALSE(state.draft({}, ids{77}).has_value());
}

TEST_CASE("drafts are those of tables that forget nothing") {
  // Four tokens, so that no follower is ever forgotten; tables with room for all.
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const ids tokens = weir_test::random_tokens(600, 4, seed, true);
    const ids others = weir_test::random_tokens(900, 4, seed + 10, true);
    const ids text = weir_test::random_tokens(50, 4, seed + 20);
    ngram_cache s;
    s.tokens = 5;
    s.ngrams = 8192;
    s.shared = std::make_shared<ngram_table>(8192);
    s.teaches = false;
    s.corpus = corpus_of({text});
    reference all;
    reference::count_all(all.shared, others, 1, 4);
    reference::count_all(all.corpus, text, 2, 2);
    for (std::size_t i = 0; i < others.size(); ++i)
      for (std::size_t n = 1; n <= std::min<std::size_t>(4, i); ++n)
        s.shared->count(std::span(others).subspan(i - n, n), others[i]);
    ngram_cache::state state(s, {});
    ids so_far;
    std::size_t equal = 0, spoke = 0;
    for (const auto token : tokens) {
      for (std::size_t n = 1; n <= std::min<std::size_t>(4, so_far.size()); ++n)
        reference::count(all.own, reference::last(so_far, n), token);
      so_far.push_back(token);
      state.append({&token, 1});
      const ids got = weir_test::drafts_of(weir_test::drafted(state, token, s.limits()));
      equal += got == all.drafts(so_far, 5);
      spoke += !got.empty();
    }
    CHECK(equal == tokens.size());
    CHECK(spoke > 300);
  }
}

TEST_CASE("a full table forgets what is seen least, and lets nobody stay for ever") {
  ngram_table table(4);
  const auto count = [&](weir::token_id n, weir::token_id token, int times) {
    for (int i = 0; i < times; ++i) table.count({&n, 1}, token);
  };
  const auto known = [&](weir::token_id n) { return table.find({&n, 1}) != nullptr; };
  for (const weir::token_id n : {1, 2, 3, 4}) count(n, 9, 10 - n);
  count(5, 9, 1);
  CHECK_FALSE(known(4));
  CHECK((known(1) && known(2) && known(3) && known(5)));
  count(6, 9, 1);
  CHECK_FALSE(known(5));
  for (weir::token_id n = 10; n < 40; ++n) count(n, 9, 3);
  CHECK_FALSE((known(1) || known(2) || known(3)));
  CHECK(known(39));
}

TEST_CASE("of many followers the frequent ones are remembered, and what was seen counts in full") {
  ngram_table table(4);
  const weir::token_id n = 1;
  for (weir::token_id t = 0; t < 100; ++t) {
    table.count({&n, 1}, 500 + t);
    table.count({&n, 1}, 7);
  }
  CHECK(table.find({&n, 1})->seen == 200);
  const auto& next = table.find({&n, 1})->next;
  CHECK(std::any_of(next.begin(), next.end(),
                    [](const follower& f) { return f.token == 7 && f.count == 100; }));
  for (std::uint32_t i = 0; i < 2 * ngram_table::max_seen; ++i) table.count({&n, 1}, 8);
  CHECK(table.find({&n, 1})->seen < ngram_table::max_seen);
  CHECK(std::any_of(next.begin(), next.end(), [](const follower& f) { return f.token == 8; }));
  CHECK(std::all_of(next.begin(), next.end(),
                    [](const follower& f) { return f.token == 8 || f.count < 100; }));
}

TEST_CASE("a corpus counts what it was given") {
  const ids text = weir_test::random_tokens(300000, 30, 9);
  ngram_corpus_builder builder;
  builder.add(text);
  const ngram_corpus corpus = builder.build();
  std::map<ids, counts> expected;
  reference::count_all(expected, ids(text.begin(), text.end()), 2, 2);
  CHECK(corpus.pairs() == expected.size());
  bool equal = true;
  for (auto& [pair, followers] : expected) {
    std::sort(followers.begin(), followers.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    const auto got = corpus.find(pair[0], pair[1]);
    equal = equal && got.size() == followers.size();
    for (std::size_t i = 0; equal && i < got.size(); ++i)
      equal = got[i].token == followers[i].first && got[i].count == followers[i].second;
  }
  CHECK(equal);
  CHECK(corpus.bytes() == 900 * 8 + 901 * 4 + 27000 * 8);
  CHECK(corpus_of({{1, 2, 6}, {1, 2, 6}, {1, 2, 7}}, 2)->find(1, 2).size() == 1);
  CHECK(builder.build().find(1, 2).empty());
}

TEST_CASE("an n-gram cache is a sound drafter") {
  weir_test::check_drafter(ngram_cache{});
  ngram_cache s;
  s.ngrams = 50;
  s.longest = 3;
  s.shortest = 2;
  weir_test::check_drafter(s);
  s.shared = std::make_shared<ngram_table>(1000);
  s.corpus = corpus_of({weir_test::random_tokens(1000, 10, 1)});
  weir_test::check_drafter(s, 40, false);
}

TEST_CASE("an n-gram cache refuses settings without sense") {
  using weir::error::bad_config;
  const auto make = [](ngram_cache s) { ngram_cache::state state(s, {}); };
  weir_test::require_refused<bad_config>([&] { make({.longest = 5}); }, {"1 to 5"});
  weir_test::require_refused<bad_config>([&] { make({.shortest = 0}); }, {"0 to 4"});
  weir_test::require_refused<bad_config>([&] { make({.ngrams = 0}); }, {"0 n-grams"});
}
