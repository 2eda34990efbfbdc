// What every eviction policy must do, as a list of properties that a policy of your own can be
// checked against in one line:
//
//   #include <weir/testing/conformance.hpp>
//   for (const std::string& broken :
//        weir::testing::broken_properties([](std::size_t n) { return longest_keys{n}; }))
//     std::cerr << broken << '\n';
//
// A list of policies works as well as a single one; broken_properties<f16, positions::within_cache>
// checks it in caches of that kind. Properties are compared bit by bit. The caches are small, the
// tokens made up; a run takes a second or so.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/core/target.hpp>
#include <weir/testing/drive_cache.hpp>

namespace weir::inline WEIR_TARGET::testing {

/// What caches are checked with.
struct conformance_options {
  kv_shape shape{.layers = 2,
                 .q_heads = 4,
                 .kv_heads = 2,
                 .head_dim = 16,
                 .rope = {.dims = 16, .base = 10000}};
  std::size_t entries = 40;  ///< budget: what `make` is asked for
  std::vector<std::size_t> cadences = {1, 7, 32};
  std::size_t tokens = 150;
  std::uint64_t seed = 1;
  /// Full attention where everything fits; not of a policy that loses entries all the same.
  bool full_where_all_fits = true;
  /// Heads that change places change places in the result; not where a policy goes by the number of
  /// a head.
  bool heads_are_alike = true;
  /// Queries, keys and values that are not finite are decided on in stream order too.
  bool not_finite_is_ordered = true;
};

/// A policy under check, whatever its type.
struct policy_under_check {
  using maker = std::function<std::unique_ptr<any_cache>(std::size_t entries, const kv_shape&,
                                                         const cache_options&)>;
  maker make;
  maker make_full;   ///< the same codec keeping `entries` tokens
  maker make_other;  ///< the same in the other layout; empty: there is none
  std::function<std::size_t(std::size_t entries, const kv_shape&, const cache_options&)>
      required_bytes;
  /// First and last tokens of the stream that a KV head's policies select for certain.
  std::function<std::pair<std::size_t, std::size_t>(std::size_t entries, std::size_t head_index)>
      pinned;
  /// Entries that a boundary may leave in all KV heads together.
  std::function<std::size_t(std::size_t entries, const kv_shape&)> total;
  /// How far outputs may be from full attention where everything fits, as a share of the largest:
  /// 0 unless keys are stored unrotated, and so rounded before they turn.
  float full_tolerance = 0;
  /// The codec rounds a number times a power of two as it rounds the number, whatever the power;
  /// f16 does not, whose smallest numbers are few.
  bool scales_are_exact = true;
  /// Entries go at boundaries, not with every token.
  bool has_boundaries = true;
};

/// Collects what does not hold.
class property_log {
 public:
  explicit property_log(std::string where) : where_(std::move(where)) {}
  template <class... Parts>
  void check(bool holds, const Parts&... parts) {
    if (holds) return;
    std::ostringstream text;
    text << where_;
    (text << ... << parts);
    broken.push_back(text.str());
  }
  std::vector<std::string> broken;

 private:
  std::string where_;
};

namespace detail {

/// One cadence's worth of properties.
class conformance_run {
 public:
  conformance_run(const policy_under_check& policy, const conformance_options& options,
                  std::size_t cadence)
      : policy_(policy),
        o_(options),
        cache_options_{
            .max_rows = 64, .max_draft_rows = 6, .max_draft_width = 3, .cadence = cadence},
        names_(names_of(options.tokens, options.seed)),
        log_("cadence " + std::to_string(cadence) + ": ") {}

  std::vector<std::string> run() {
    const auto plain = cache();
    const auto expected = append(*plain, o_.shape, names_, 1);
    budget_and_order();
    chunks(*plain, expected);
    threads(*plain, expected);
    speculation(*plain, expected);
    taking_back(*plain, expected);
    starting_anew(*plain, expected);
    layouts(*plain, expected);
    everything_fits();
    memory();
    if (o_.heads_are_alike) heads(*plain);
    if (o_.not_finite_is_ordered) not_finite();
    if (policy_.scales_are_exact) scales(*plain, expected);
    looking(*plain, expected);
    return log_.broken;
  }

 private:
  std::unique_ptr<any_cache> cache(executor* threads = nullptr) const {
    cache_options options = cache_options_;
    options.threads = threads;
    return cache(options);
  }
  std::unique_ptr<any_cache> cache(const cache_options& options) const {
    return policy_.make(o_.entries, o_.shape, options);
  }

  /// What is said to be read next is read, and saying so changes nothing.
  void looking(const any_cache& plain, const std::vector<token_output>& expected) {
    dice random{o_.seed + 31};
    const auto c = cache();
    const auto wrong = names_of(names_.size(), o_.seed + 99);
    const auto read_next = [&](std::size_t head_index) {
      std::vector<std::uint64_t> all;
      c->for_each_index(head_index / o_.shape.kv_heads, head_index % o_.shape.kv_heads,
                        [&](stream_index i) { all.push_back(i.value); });
      return all;
    };
    std::vector<token_output> out;
    for (std::size_t t = 0; t < names_.size(); ++t) {
      const std::size_t head_index = random.within(0, o_.shape.total_kv_heads() - 1);
      std::vector<std::uint64_t> said = read_next(head_index);
      if (random.one_in(4)) {
        append(*c, o_.shape, std::span(wrong).subspan(t, 1), 1);
        read_next(head_index);
        c->take_back();
      }
      auto got = append(*c, o_.shape, std::span(names_).subspan(t, 1), 1);
      out.push_back(std::move(got[0]));
      said.push_back(t);
      const std::vector<std::uint64_t> now = read_next(head_index);
      const bool drops = !policy_.has_boundaries || (t + 1) % cache_options_.cadence == 0;
      log_.check(drops ? std::ranges::includes(said, now) : said == now, "before token ", t,
                 " it was said of KV head ", head_index % o_.shape.kv_heads, " in layer ",
                 head_index / o_.shape.kv_heads, " that ", said.size() - 1,
                 " entries would be read, and behind it ", now.size());
    }
    same(plain, expected, *c, out, "looking");
  }

  /// Keys and values that are divided by powers of two in memory are the same keys and values.
  void scales(const any_cache& plain, const std::vector<token_output>& expected) {
    cache_options options = cache_options_;
    for (std::size_t head_index = 0; head_index < o_.shape.total_kv_heads(); ++head_index)
      options.ranges.push_back(
          {head_index % 2 == 0 ? 0x1p19f : 0x1p-4f, head_index % 3 == 0 ? 0.3f : 0x1p30f});
    const auto c = cache(options);
    const auto out = append(*c, o_.shape, names_, 13);
    same(plain, expected, *c, out, "ranges of keys and values");
  }

  /// Numbers that are not finite, or whose products are not: the same in chunks of any size.
  void not_finite() {
    cache_options options = cache_options_;
    options.on_overflow = overflow::warn;
    std::vector<token_name> names = names_;
    dice random{o_.seed + 23};
    for (std::size_t t = 0; t < names.size(); ++t)
      if (random.one_in(9)) names[t] = wild(static_cast<std::uint32_t>(random.next()));
    const auto plain = cache(options);
    const auto expected = append(*plain, o_.shape, names, 1);
    for (const std::size_t chunk : {7u, 64u}) {
      const auto c = cache(options);
      const auto out = append(*c, o_.shape, names, chunk);
      std::size_t at = 0;
      while (at < names.size() && alike(out[at], expected[at])) ++at;
      log_.check(at == names.size(), "numbers that are not finite, chunks of ", chunk,
                 ": outputs differ from token ", at);
      log_.check(c->stats().cut == plain->stats().cut, "numbers beyond the codec, chunks of ",
                 chunk, ": ", c->stats().cut, " were cut, and one by one ", plain->stats().cut);
      for (std::size_t head_index = 0; head_index < o_.shape.total_kv_heads(); ++head_index) {
        const std::size_t layer = head_index / o_.shape.kv_heads,
                          head = head_index % o_.shape.kv_heads;
        const auto a = entries_of(*plain, layer, head), b = entries_of(*c, layer, head);
        log_.check(std::equal(a.begin(), a.end(), b.begin(), b.end(),
                              [](const entry_copy& l, const entry_copy& r) {
                                return l.index == r.index && alike(l.key, r.key) &&
                                       alike(l.value, r.value);
                              }),
                   "numbers that are not finite, chunks of ", chunk,
                   ": other entries stay in layer ", layer, ", KV head ", head);
      }
    }
  }

  /// Never more than announced, never less than what is pinned; rising, each once.
  void budget_and_order() {
    const auto c = cache();
    const std::size_t most =
        policy_.total(o_.entries, o_.shape) + o_.shape.total_kv_heads() * cache_options_.cadence;
    std::vector<std::pair<std::size_t, std::size_t>> pinned;  // [head_index]
    for (std::size_t head_index = 0; head_index < o_.shape.total_kv_heads(); ++head_index)
      pinned.push_back(policy_.pinned(o_.entries, head_index));
    for (std::size_t t = 0; t < names_.size(); ++t) {
      append(*c, o_.shape, std::span(names_).subspan(t, 1), 1);
      std::size_t all = 0;
      for (std::size_t layer = 0; layer < o_.shape.layers; ++layer)
        for (std::size_t head = 0; head < o_.shape.kv_heads; ++head) {
          const auto [first, last] = pinned[layer * o_.shape.kv_heads + head];
          const auto now = entries_of(*c, layer, head);
          all += now.size();
          log_.check(now.size() <= c->max_entries(), "token ", t, ": ", now.size(),
                     " entries (expected at most ", c->max_entries(), ")");
          for (std::size_t i = 1; i < now.size(); ++i)
            log_.check(now[i - 1].index < now[i].index, "token ", t, ": entries do not rise");
          if (policy_.has_boundaries && (t + 1) % cache_options_.cadence != 0)
            log_.check(!now.empty() && now.back().index == t, "token ", t, ": lacks its own");
          for (std::size_t i = 0; i < std::min(first, t + 1); ++i)
            log_.check(i < now.size() && now[i].index == i, "token ", t, ": lacks sink ", i);
          for (std::size_t i = 0; i < std::min(last, t + 1); ++i)
            log_.check(i < now.size() && now[now.size() - 1 - i].index == t - i, "token ", t,
                       ": lacks recent token ", t - i);
          if (log_.broken.size() > 4) return;
        }
      log_.check(all <= most, "token ", t, ": ", all, " entries in all (expected at most ", most,
                 ")");
    }
  }

  void same(const any_cache& plain, const std::vector<token_output>& expected,
            const any_cache& other, const std::vector<token_output>& out, const char* what) {
    const std::size_t at = first_difference(out, expected);
    log_.check(at == expected.size() && out.size() == expected.size(), what,
               ": outputs differ from token ", at);
    log_.check(same_entries(plain, other, o_.shape), what, ": other entries stay");
  }

  void chunks(const any_cache& plain, const std::vector<token_output>& expected) {
    for (const std::size_t chunk : {7u, 64u}) {
      const auto c = cache();
      const auto out = append(*c, o_.shape, names_, chunk);
      same(plain, expected, *c, out, chunk == 7 ? "chunks of 7" : "chunks of 64");
    }
  }
  void threads(const any_cache& plain, const std::vector<token_output>& expected) {
    thread_pool three(3);
    const auto c = cache(&three);
    const auto out = append(*c, o_.shape, names_, 20);
    same(plain, expected, *c, out, "3 threads");
  }

  /// K provisional rows, j of them committed, and on.
  void speculation(const any_cache& plain, const std::vector<token_output>& expected) {
    dice random{o_.seed + 17};
    const auto c = cache();
    std::vector<token_output> out;
    while (out.size() < names_.size()) {
      const std::size_t t = out.size(), left = names_.size() - t;
      const std::size_t finals = std::min<std::size_t>(
          {left, random.within(0, 2), static_cast<std::size_t>(c->finals_room())});
      const std::size_t deep =
          std::min<std::size_t>({left - finals, random.within(0, 4), c->draft_room(finals)});
      std::vector<row> rows(finals);
      std::vector<token_name> fed(names_.begin() + static_cast<std::ptrdiff_t>(t),
                                  names_.begin() + static_cast<std::ptrdiff_t>(t + finals));
      for (std::size_t d = 0; d < deep; ++d) {  // the true tokens, in a chain
        rows.push_back({d == 0 ? row::root : row::previous, true});
        fed.push_back(names_[t + finals + d]);
      }
      if (deep > 0) {  // beside them one that is wrong, with bytes that must not be read
        rows.push_back({row::root, true});
        fed.push_back(random.next() | poison);
      }
      if (rows.empty()) {
        if (c->draft_room(0) > 0) continue;
        rows.push_back({});
        fed.push_back(names_[t]);
      }
      auto got = attend_rows(*c, o_.shape, rows, fed);
      const std::size_t now = std::max<std::size_t>(finals, deep == 0 ? 1 : 0);
      const std::size_t accepted = deep == 0 ? 0 : random.within(0, deep);
      if (now == 0 && accepted == 0) {
        random.one_in(2) ? c->rollback() : void(c->commit({}));
        continue;
      }
      std::vector<std::size_t> path;
      for (std::size_t d = 0; d < accepted; ++d) path.push_back(finals + d);
      c->commit(path);
      for (std::size_t i = 0; i < now + accepted; ++i) {
        c->tell_log_probability(t + i, log_probability_of(names_[t + i]));
        out.push_back(std::move(got[i]));
      }
    }
    same(plain, expected, *c, out, "speculation");
  }

  void taking_back(const any_cache& plain, const std::vector<token_output>& expected) {
    dice random{o_.seed + 5};
    const auto c = cache();
    std::vector<token_output> out;
    const auto wrong = names_of(names_.size(), o_.seed + 99);
    for (std::size_t t = 0; t < names_.size(); ++t) {
      if (random.one_in(3)) {
        append(*c, o_.shape, std::span(wrong).subspan(t, 1), 1);
        if (c->draft_room(0) > 0 && random.one_in(2)) {  // not even behind a step that was dropped
          const row draft[1] = {{row::root, true}};
          attend_rows(*c, o_.shape, draft, std::span(wrong).first(1));
          c->rollback();
        }
        c->take_back();
      }
      auto got = append(*c, o_.shape, std::span(names_).subspan(t, 1), 1);
      out.push_back(std::move(got[0]));
    }
    same(plain, expected, *c, out, "take_back");
  }

  void starting_anew(const any_cache& plain, const std::vector<token_output>& expected) {
    const auto c = cache();
    append(*c, o_.shape, names_of(70, o_.seed + 3), 20);
    c->reset();
    const auto out = append(*c, o_.shape, names_, 20);
    same(plain, expected, *c, out, "after reset");
  }

  void layouts(const any_cache& plain, const std::vector<token_output>& expected) {
    if (!policy_.make_other) return;
    const auto c = policy_.make_other(o_.entries, o_.shape, cache_options_);
    const auto out = append(*c, o_.shape, names_, 20);
    same(plain, expected, *c, out, "the other layout");
  }

  /// With budget ≥ length, full attention.
  void everything_fits() {
    if (!o_.full_where_all_fits) return;
    const std::size_t n = names_.size();
    const std::size_t plenty = 50 * n;  // layers and heads may get unequal shares
    const auto c = policy_.make(plenty, o_.shape, cache_options_);
    const auto full = policy_.make_full(n, o_.shape, cache_options_);
    const auto out = append(*c, o_.shape, names_, 20);
    const auto expected = append(*full, o_.shape, names_, 20);
    for (std::size_t head_index = 0; head_index < o_.shape.total_kv_heads(); ++head_index) {
      const std::size_t layer = head_index / o_.shape.kv_heads,
                        head = head_index % o_.shape.kv_heads;
      log_.check(entries_of(*c, layer, head).size() == n, "a budget of ", plenty,
                 " loses entries of ", n, " in layer ", layer, ", KV head ", head);
    }
    if (policy_.full_tolerance == 0)
      log_.check(first_difference(out, expected) == n,
                 "a budget beyond the stream's length is not full attention from token ",
                 first_difference(out, expected));
    else
      log_.check(distance(out, expected) <= policy_.full_tolerance,
                 "a budget beyond the stream's length is ", distance(out, expected),
                 " from full attention (expected at most ", policy_.full_tolerance, ")");
  }
  /// The largest difference, as a share of the largest output.
  static float distance(const std::vector<token_output>& a, const std::vector<token_output>& b) {
    float largest = 0, most = 0;
    for (std::size_t t = 0; t < b.size(); ++t)
      for (std::size_t i = 0; i < b[t].size(); ++i) {
        largest = std::max(largest, std::abs(b[t][i]));
        most = std::max(most, std::abs(a[t][i] - b[t][i]));
      }
    return most / largest;
  }

  void memory() {
    const std::size_t announced = policy_.required_bytes(o_.entries, o_.shape, cache_options_);
    log_.check(cache()->bytes() == announced, "holds ", cache()->bytes(), " bytes (announced ",
               announced, ")");
  }

  /// Heads that change places. Layer by layer, two KV heads swap what they are fed.
  void heads(const any_cache& plain) {
    const kv_shape& s = o_.shape;
    const auto c = cache();
    layer_rows x;
    const std::size_t q_half = s.q_heads / s.kv_heads * s.head_dim, k_half = s.head_dim;
    for (std::size_t t = 0; t < names_.size(); ++t) {
      const row one[1] = {{.kind = kind_of(names_[t])}};
      c->begin(one);
      for (std::size_t layer = 0; layer < s.layers; ++layer) {
        make_rows(s, std::span(names_).subspan(t, 1), layer, x);
        std::rotate(x.q.begin(), x.q.begin() + static_cast<std::ptrdiff_t>(q_half), x.q.end());
        std::rotate(x.k.begin(), x.k.begin() + static_cast<std::ptrdiff_t>(k_half), x.k.end());
        std::rotate(x.v.begin(), x.v.begin() + static_cast<std::ptrdiff_t>(k_half), x.v.end());
        c->attend(layer, x.q, x.k, x.v, x.out);
      }
      c->commit({});
      c->tell_log_probability(t, log_probability_of(names_[t]));
    }
    for (std::size_t layer = 0; layer < s.layers; ++layer)
      for (std::size_t head = 0; head < s.kv_heads; ++head) {
        const auto a = entries_of(plain, layer, (head + 1) % s.kv_heads),
                   b = entries_of(*c, layer, head);
        const bool alike = std::equal(
            a.begin(), a.end(), b.begin(), b.end(), [](const entry_copy& l, const entry_copy& r) {
              return l.index == r.index && same_bits(l.key, r.key) && same_bits(l.value, r.value);
            });
        log_.check(alike, "heads that change places keep other entries in layer ", layer);
      }
  }

  const policy_under_check& policy_;
  const conformance_options& o_;
  cache_options cache_options_;
  std::vector<token_name> names_;
  property_log log_;
};

/// Twice what outputs were found to differ by if keys are rounded before they turn.
template <class Codec>
inline constexpr float rounding_of = 0;
template <>
inline constexpr float rounding_of<f16> = 0.0025f;
template <>
inline constexpr float rounding_of<bf16> = 0.016f;
template <>
inline constexpr float rounding_of<int8> = 0.065f;
template <>
inline constexpr float rounding_of<int4> = 0.7f;

/// Tokens that a list's positional policies select whatever the others do.
inline std::pair<std::size_t, std::size_t> pinned_by(const keep_all&) {
  const std::size_t all = std::numeric_limits<std::size_t>::max();
  return {all, all};
}
template <class... Policies>
std::pair<std::size_t, std::size_t> pinned_by(const keep<Policies...>& list) {
  // Of a mask, one less: the next token reads itself, too.
  return {list.budget(anchor::first), list.budget(anchor::last) - (list.is_positional ? 1 : 0)};
}

}  // namespace detail

/// A policy with its types forgotten. `make(entries)` gives a policy list of about so many entries.
template <class Codec, class Positions, class Make>
policy_under_check check_of(Make make) {
  using Keep = decltype(make(std::size_t{}));
  constexpr bool paged_only = keep_has_changing_budgets<Keep>;
  using first_layout =
      std::conditional_t<paged_only, weir::layouts::paged, weir::layouts::contiguous>;
  using cache_type = kv_cache<Codec, Keep, Positions, first_layout>;
  policy_under_check p;
  p.make = [make](std::size_t n, const kv_shape& s, const cache_options& o) {
    return std::make_unique<one_cache<cache_type>>(s, make(n), o);
  };
  p.make_full = [](std::size_t n, const kv_shape& s, const cache_options& o) {
    return std::make_unique<one_cache<kv_cache<Codec, keep_all>>>(s, keep_all{n}, o);
  };
  if constexpr (!paged_only)
    p.make_other = [make](std::size_t n, const kv_shape& s, const cache_options& o) {
      return std::make_unique<one_cache<kv_cache<Codec, Keep, Positions, weir::layouts::paged>>>(
          s, make(n), o);
    };
  p.required_bytes = [make](std::size_t n, const kv_shape& s, const cache_options& o) {
    return cache_type::required_bytes(s, make(n), o);
  };
  p.pinned = [make](std::size_t n, std::size_t head_index) {
    const Keep keep = make(n);
    return keep.with_list(head_index, [](const auto& list) { return detail::pinned_by(list); });
  };
  p.total = [make](std::size_t n, const kv_shape& s) {
    const Keep keep = make(n);
    std::size_t sum = 0;
    for (std::size_t head_index = 0; head_index < s.total_kv_heads(); ++head_index)
      sum += budget_in(keep, s, head_index / s.kv_heads, head_index % s.kv_heads);
    return sum;
  };
  if constexpr (Positions::renumbers && !is_positional_keep<Keep>)
    p.full_tolerance = detail::rounding_of<Codec>;
  p.scales_are_exact = !std::is_same_v<Codec, f16>;
  p.has_boundaries = !is_positional_keep<Keep>;
  return p;
}

/// What does not hold of a policy, a sentence each; nothing if all is well.
inline std::vector<std::string> broken_properties(const policy_under_check& policy,
                                                  const conformance_options& options = {}) {
  std::vector<std::string> all;
  for (const std::size_t cadence : options.cadences) {
    auto broken = detail::conformance_run(policy, options, cadence).run();
    all.insert(all.end(), broken.begin(), broken.end());
  }
  return all;
}

/// The same in one line: `make(entries)` gives a list, or a policy to put behind two sinks and a
/// window.
template <class Codec = f32, class Positions = positions::original, class Make>
std::vector<std::string> broken_properties(Make make, const conformance_options& options = {})
  requires std::is_invocable_v<Make, std::size_t>
{
  using Made = decltype(make(std::size_t{}));
  if constexpr (is_keep<Made>)
    return broken_properties(check_of<Codec, Positions>(make), options);
  else
    return broken_properties(check_of<Codec, Positions>([make](std::size_t n) {
                               return keep<sinks, window, Made>{sinks{2}, window{n / 4}, make(n)};
                             }),
                             options);
}

}  // namespace weir::inline WEIR_TARGET::testing
