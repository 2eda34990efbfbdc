// Sequences of at least 50 operations on caches of every kind: rows in chunks, trees of drafts,
// rollbacks, tokens taken back, resets, forks, numbers that are not finite and calls that have to
// be refused. Whatever came before, a stream equals, bit for bit, a new cache that was fed the
// tokens that stayed.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/any_cache.hpp>
#include <weir/testing/drive_cache.hpp>

#include "fuzz/cache_types.hpp"
#include "fuzz/fuzz_input.hpp"

namespace {

using namespace weir::testing;
using namespace weir_fuzz;
using weir::row;

constexpr std::size_t least_operations = 50, max_tokens = 400, max_streams = 3;

/// A cache, and what it is to hold.
struct stream {
  std::unique_ptr<weir::any_cache> cache;
  std::vector<token_name> names;   // of the tokens that stayed
  std::vector<token_output> outs;  // of each, when it came
};

/// What keys and values are fed.
enum class numbers : std::uint8_t {
  held,       ///< by every codec
  any,        ///< also NaN, infinities, and more than a codec holds
  too_large,  ///< also more than a codec holds, which is refused
};

/// Rows of a step, drawn so that the cache has to take them.
struct drawn_step {
  std::vector<row> rows;
  std::vector<token_name> names;
  std::size_t finals = 0;
  std::vector<std::size_t> path;  // rows
  row_parts parts;
};

/// More than the keys and values that are fed have, by any factor.
float large(fuzz_input& in) { return 8 * std::exp2(static_cast<float>(in.within(0, 40))); }

class sequence {
 public:
  explicit sequence(fuzz_input& in) : in_(in), type_(in.pick(types())) {
    shape_.layers = in.one_in(3) ? 2 : 1;
    shape_.kv_heads = in.within(1, 2);
    shape_.q_heads = shape_.kv_heads * in.within(1, 2);
    shape_.head_dim = in.one_in(3) ? 24 : 8;
    shape_.rope = {8, 10000,
                   in.one_in(2) ? weir::rope_pairing::interleaved : weir::rope_pairing::half_split};
    constexpr std::size_t cadences[] = {8, 1, 5, 32};
    options_.cadence = in.pick(cadences);
    options_.max_rows = 48;
    options_.max_draft_rows = in.within(0, 10);
    options_.max_draft_width = std::max<std::size_t>(1, in.within(1, 3));
    options_.may_take_back = !in.one_in(4);
    if (in.one_in(8)) options_.first_index = (std::uint64_t{1} << 32) - 512;
    if (type_.fork != nullptr) options_.extra_pages = in.within(0, 40);
    entries_ = in.within(16, 64);
    salt_ = in.number<std::uint16_t>();
    constexpr numbers kinds_of_numbers[] = {numbers::held, numbers::held, numbers::any,
                                            numbers::too_large};
    numbers_ = in.pick(kinds_of_numbers);
    if (numbers_ == numbers::any) options_.on_overflow = weir::overflow::warn;
    if (numbers_ == numbers::too_large) options_.on_overflow = weir::overflow::refuse;
    if (numbers_ == numbers::held && in.one_in(3))
      for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
        options_.ranges.push_back({large(in), large(in)});
  }

  void run() {
    streams_.reserve(max_streams);
    streams_.push_back({make(), {}, {}});
    check(streams_[0].cache->bytes() == type_.required_bytes(entries_, shape_, options_),
          "holds the bytes that were announced");
    for (std::size_t n = least_operations + in_.within(0, 15); n > 0; --n) operate();
    for (stream& s : streams_) compare(s);
  }

 private:
  static const std::vector<cache_type>& types() {
    static const std::vector<cache_type> all = [] {
      std::vector<cache_type> list = positional_types();
      for (auto more : {scored_types(), changing_types()})
        list.insert(list.end(), more.begin(), more.end());
      return list;
    }();
    return all;
  }

  std::unique_ptr<weir::any_cache> make() const { return type_.make(entries_, shape_, options_); }

  /// Forks may have taken the pages, or a number is beyond the codec.
  bool may_refuse() const { return type_.fork != nullptr || numbers_ == numbers::too_large; }

  token_name next_name() {
    const std::uint64_t n = mix(salt_ * 1'000'003 + drawn_++);
    const auto which = static_cast<std::uint32_t>(n >> 8);
    if (numbers_ == numbers::any && n % 16 == 0) return wild(which);
    if (numbers_ != numbers::held && n % 16 == 1) return outsize(which);
    return n & ~poison;
  }

  void operate() {
    const std::size_t which = in_.within(0, streams_.size() - 1);
    stream& s = streams_[which];
    switch (in_.within(0, 15)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        step(s, false);
        break;
      case 5:
        take_back(s);
        break;
      case 6:
        wrong_calls(s);
        break;
      case 7:
        fork(s);
        break;
      case 8:
        half_a_step(s);
        break;
      case 9:
        if (in_.one_in(4)) reset(s);
        break;
      default:
        step(s, true);
    }
    if (which < streams_.size() && in_.one_in(8)) look_at(s);  // unless it was a fork that went
  }

  /// A chain of final rows, and behind it a tree of drafts and a path of it that stays.
  drawn_step draw(const stream& s, bool drafts) {
    drawn_step d;
    const weir::any_cache& c = *s.cache;
    const std::size_t room =
        static_cast<std::size_t>(std::min<std::uint64_t>(c.room(), max_tokens - s.names.size()));
    d.finals = drafts && in_.one_in(3) ? 0 : in_.one_in(12) ? in_.within(2, 36) : in_.within(1, 2);
    d.finals = static_cast<std::size_t>(std::min<std::uint64_t>({d.finals, room, c.finals_room()}));
    for (std::size_t r = 0; r < d.finals; ++r) {
      d.rows.push_back({in_.one_in(2) ? static_cast<int>(r) - 1 : row::previous, false});
      d.names.push_back(next_name());
    }
    const std::size_t deepest = std::min(c.draft_room(d.finals), room - d.finals);
    if (!drafts || deepest == 0) return d;
    std::vector<int> parents;
    std::vector<std::size_t> depths, width(deepest);
    const std::size_t wanted = in_.within(0, options_.max_draft_rows);
    for (std::size_t i = 0; i < wanted; ++i) {
      int parent = in_.one_in(3) ? static_cast<int>(in_.within(0, i)) - 1 : static_cast<int>(i) - 1;
      std::size_t depth = parent < 0 ? 0 : depths[static_cast<std::size_t>(parent)] + 1;
      if (depth >= deepest || width[depth] >= options_.max_draft_width) parent = -1, depth = 0;
      if (width[depth] >= options_.max_draft_width) break;
      ++width[depth];
      parents.push_back(parent);
      depths.push_back(depth);
      d.rows.push_back({parent < 0 ? row::root : static_cast<int>(d.finals) + parent, true});
      d.names.push_back(next_name());
    }
    if (!parents.empty() && !in_.one_in(4))
      for (int at = static_cast<int>(in_.within(0, parents.size() - 1)); at >= 0;
           at = parents[static_cast<std::size_t>(at)])
        d.path.insert(d.path.begin(), d.finals + static_cast<std::size_t>(at));
    // What does not stay must not be noticed, whatever it holds.
    for (std::size_t r = d.finals; r < d.names.size(); ++r)
      if (std::find(d.path.begin(), d.path.end(), r) == d.path.end() && in_.one_in(4))
        d.names[r] |= poison;
    if (d.rows.size() > 1 && in_.one_in(3)) {  // drafts that come little by little
      d.parts.sizes.push_back(std::max<std::size_t>(1, d.finals));
      d.parts.early_layers = in_.within(0, shape_.layers);
    }
    return d;
  }

  void step(stream& s, bool drafts) {
    drawn_step d = draw(s, drafts);
    if (d.rows.empty()) return;
    std::vector<token_output> out;
    if (!succeeds([&] { out = attend_rows(*s.cache, shape_, d.rows, d.names, d.parts); })) {
      check(may_refuse(), "takes a step that is within its bounds");
      s.cache->rollback();
      if (!usable(s)) reset(s);
      return;
    }
    if (d.finals == 0 && in_.one_in(4)) {
      s.cache->rollback();
      return;
    }
    weir::commit_report report;
    if (!succeeds([&] { report = s.cache->commit(d.path); })) {
      check(may_refuse(), "commits a step that it took");
      s.cache->rollback();
      reset(s);
      return;
    }
    check(report.appended == d.finals + d.path.size() && report.accepted == d.path.size(),
          "reports what was committed");
    const auto keep = [&](std::size_t r) {
      s.cache->tell_log_probability(options_.first_index + s.names.size(),
                                    log_probability_of(d.names[r]));
      s.names.push_back(d.names[r]);
      s.outs.push_back(std::move(out[r]));
    };
    for (std::size_t r = 0; r < d.finals; ++r) keep(r);
    for (const std::size_t r : d.path) keep(r);
    may_take_back_from(s) = report.appended > 0 || may_take_back_from(s);
  }

  /// Begun, attended in some layers, and dropped.
  void half_a_step(stream& s) {
    const drawn_step d = draw(s, true);
    if (d.rows.empty() || !succeeds([&] { s.cache->begin(d.rows); })) return;
    const std::size_t layers = in_.within(0, shape_.layers);
    layer_rows x;
    for (std::size_t layer = 0; layer < layers; ++layer) {
      make_rows(shape_, d.names, layer, x);
      if (!succeeds([&] { s.cache->attend(layer, x.q, x.k, x.v, x.out); })) {
        check(may_refuse(), "attends in a layer whose turn it is");
        break;
      }
    }
    if (layers < shape_.layers)
      check(!succeeds([&] { s.cache->commit({}); }), "refuses to commit half a step");
    s.cache->rollback();
    if (d.finals > 0 && layers > 0) check(!usable(s), "a stream that lost final rows is broken");
    if (!usable(s)) reset(s);
  }

  bool usable(const stream& s) const {
    return succeeds([&] { s.cache->for_each_index(0, 0, [](weir::stream_index) {}); });
  }

  void take_back(stream& s) {
    const bool may = options_.may_take_back && may_take_back_from(s) && !s.names.empty();
    check(succeeds([&] { s.cache->take_back(); }) == may, "the last token is taken back, once");
    if (!may) return;
    s.names.pop_back();
    s.outs.pop_back();
    may_take_back_from(s) = false;
  }

  void reset(stream& s) {
    s.cache->reset();
    s.names.clear();
    s.outs.clear();
    may_take_back_from(s) = false;
  }

  void fork(stream& s) {
    if (type_.fork == nullptr) return;
    if (streams_.size() < max_streams && in_.one_in(3)) {
      stream forked{type_.fork(*s.cache), s.names, s.outs};
      may_take_back_[streams_.size()] = may_take_back_from(s);
      streams_.push_back(std::move(forked));
    } else if (streams_.size() > 1 && in_.one_in(4) && &s == &streams_.back()) {
      streams_.pop_back();
    } else {
      stream& to = streams_[in_.within(0, streams_.size() - 1)];
      type_.fork_from(*to.cache, *s.cache);
      if (&to == &s) return;
      to.names = s.names;
      to.outs = s.outs;
      may_take_back_from(to) = may_take_back_from(s);
    }
  }

  /// Each has to be refused, and to change nothing.
  void wrong_calls(stream& s) {
    weir::any_cache& c = *s.cache;
    const auto refuses = [](auto&& call, const char* what) { check(!succeeds(call), what); };
    const std::size_t wrong = in_.within(0, 7);
    layer_rows x;
    const token_name one = next_name();
    make_rows(shape_, std::span(&one, 1), 0, x);
    switch (wrong) {
      case 0: {
        const std::vector<row> rows(options_.max_rows + 1 + in_.within(0, 20));
        refuses([&] { c.begin(rows); }, "more rows than max_rows");
        return;
      }
      case 1: {
        const row rows[] = {{}, {1 + static_cast<int>(in_.within(0, 99)), false}};
        refuses([&] { c.begin(rows); }, "final rows that are no chain");
        return;
      }
      case 2: {
        const row rows[] = {{row::root, true}, {row::previous, false}};
        refuses([&] { c.begin(rows); }, "a final row behind a draft");
        return;
      }
      case 3: {
        const row rows[] = {{1 + static_cast<int>(in_.within(0, 99)), true}};
        refuses([&] { c.begin(rows); }, "a parent that is not there");
        return;
      }
      case 4: {
        const std::size_t layer = shape_.layers + in_.within(0, 3),
                          head = shape_.kv_heads + in_.within(0, 3);
        refuses([&] { c.for_each_index(layer, 0, [](weir::stream_index) {}); }, "no such layer");
        refuses([&] { c.for_each_entry(0, head, [](const weir::cache_entry&) {}); },
                "no such head");
        return;
      }
      default:
        break;
    }
    const row root[] = {{row::root, true}};
    if (c.draft_room(0) == 0 || c.room() == 0) {
      refuses([&] { c.begin(root); }, "a draft for which there is no room");
      return;
    }
    if (!succeeds([&] { c.begin(root); })) return;
    refuses([&] { c.reset(); }, "reset in a step");
    refuses([&] { c.take_back(); }, "take_back in a step");
    refuses([&] { c.commit({}); }, "commit before layers");
    refuses([&] { c.attend(1, x.q, x.k, x.v, x.out); }, "a layer out of turn");
    if (wrong == 5) x.q.pop_back();
    if (wrong == 6) x.k.push_back(0);
    if (wrong == 7) x.out.clear();
    refuses([&] { c.attend(0, x.q, x.k, x.v, x.out); }, "a span of another size");
    const std::size_t path[] = {in_.within(1, 9)};
    refuses([&] { c.commit(path); }, "a path of no rows");
    c.rollback();
  }

  /// What holds at any time.
  void look_at(const stream& s) const {
    const weir::any_cache& c = *s.cache;
    check(c.length() == options_.first_index + s.names.size(), "its length");
    check(c.stats().appended == s.names.size(), "tokens that it counts");
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index) {
      std::size_t entries = 0;
      std::uint64_t last = options_.first_index;
      c.for_each_index(head_index / shape_.kv_heads, head_index % shape_.kv_heads,
                       [&](weir::stream_index index) {
                         check(entries == 0 || index.value > last, "entries rise");
                         check(index.value < c.length(), "entries are of the stream");
                         last = index.value;
                         ++entries;
                       });
      check(entries <= c.max_entries(), "entries are within the bound");
    }
  }

  /// Against a new cache that is fed what stayed, in chunks of any size.
  void compare(stream& s) {
    // A boundary that ran for a token that was taken back is due to run again: see cache_stats.
    if (s.names.size() < max_tokens && s.cache->room() > 0) {
      const token_name next[] = {next_name()};
      std::vector<token_output> out;
      if (succeeds([&] { out = append(*s.cache, shape_, next, 1); })) {
        s.names.push_back(next[0]);
        s.outs.push_back(std::move(out[0]));
      } else {
        check(may_refuse(), "takes one more token");
        return;
      }
    }
    const auto fresh = make();
    const auto expected = append(*fresh, shape_, s.names, in_.within(1, options_.max_rows));
    for (std::size_t t = 0; t < expected.size(); ++t)
      check(alike(s.outs[t], expected[t]), "outputs of a cache that was only ever fed");
    check(s.cache->length() == fresh->length() && s.cache->room() == fresh->room(),
          "length and room of a cache that was only ever fed");
    check(s.cache->stats().evicted_entries == fresh->stats().evicted_entries &&
              s.cache->stats().boundaries == fresh->stats().boundaries &&
              s.cache->stats().cut == fresh->stats().cut,
          "statistics of a cache that was only ever fed");
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index) {
      const std::size_t layer = head_index / shape_.kv_heads, head = head_index % shape_.kv_heads;
      const auto a = entries_of(*s.cache, layer, head), b = entries_of(*fresh, layer, head);
      check(std::equal(a.begin(), a.end(), b.begin(), b.end(),
                       [](const entry_copy& l, const entry_copy& r) {
                         return l.index == r.index && alike(l.key, r.key) &&
                                alike(l.value, r.value);
                       }),
            "entries of a cache that was only ever fed");
    }
  }

  bool& may_take_back_from(const stream& s) {
    return may_take_back_[static_cast<std::size_t>(&s - streams_.data())];
  }

  fuzz_input& in_;
  const cache_type& type_;
  weir::kv_shape shape_;
  weir::cache_options options_;
  std::size_t entries_ = 0;
  std::uint64_t salt_ = 0, drawn_ = 0;
  numbers numbers_ = numbers::held;
  std::vector<stream> streams_;
  bool may_take_back_[max_streams] = {};  // [stream] the last token
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz_input in(data, size, behind::noise);
  sequence(in).run();
  return 0;
}
