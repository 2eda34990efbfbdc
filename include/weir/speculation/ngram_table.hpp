// What followed which tokens, and how often.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// A token that followed, and how often.
struct follower {
  token_id token = -1;  ///< negative: none
  std::uint32_t count = 0;
};

/// Followers of n-grams of any length, counted in memory of a fixed size. N-grams are known by 64
/// bits of hash. Each is in one of four places, each remembers four followers; who comes anew takes
/// the place of the least seen, the first of equals. Others in a full place grow less seen with
/// that, so that a place is not held for ever. Counts are halved when an n-gram was seen often.
class ngram_table {
 public:
  static constexpr std::size_t ways = 4, followers = 4;
  static constexpr std::uint32_t most_seen = 1 << 16;

  struct ngram {
    std::uint64_t key = 0;    ///< 0: free
    std::uint32_t seen = 0;   ///< how often, followers that were forgotten included
    std::uint32_t worth = 0;  ///< what it is kept by
    std::array<follower, followers> next{};
  };

  /// Room for `ngrams`, rounded up to a power of 2, at least four.
  explicit ngram_table(std::size_t ngrams) : ngram_(rounded(ngrams)) {}
  static std::size_t required_bytes(std::size_t ngrams) { return rounded(ngrams) * sizeof(ngram); }
  std::size_t bytes() const { return ngram_.size() * sizeof(ngram); }

  /// Counts that `tokens` were followed by `token`. O(tokens).
  void count(std::span<const token_id> tokens, token_id token) {
    const std::uint64_t key = key_of(tokens);
    const auto places = place(key);
    auto g = std::find_if(places.begin(), places.end(),
                          [key](const ngram& p) { return p.key == key || p.key == 0; });
    if (g == places.end()) {
      g = std::min_element(places.begin(), places.end(),
                           [](const ngram& a, const ngram& b) { return a.worth < b.worth; });
      for (ngram& p : places) p.worth -= p.worth > 0;
      *g = {};
    }
    g->key = key;
    ++g->worth;
    ++g->seen;
    auto& next = g->next;
    auto f = std::find_if(next.begin(), next.end(),
                          [token](const follower& x) { return x.token == token || x.count == 0; });
    if (f == next.end())
      f = std::min_element(next.begin(), next.end(),
                           [](const follower& a, const follower& b) { return a.count < b.count; });
    if (f->token != token) *f = {token, 0};
    ++f->count;
    if (g->seen >= most_seen) halve(*g);
  }

  /// What is known of n-gram `tokens`, or null. O(tokens).
  const ngram* find(std::span<const token_id> tokens) const {
    const std::uint64_t key = key_of(tokens);
    const std::size_t first = first_place(key);
    for (std::size_t i = 0; i < ways; ++i)
      if (ngram_[first + i].key == key) return &ngram_[first + i];
    return nullptr;
  }

  void clear() { std::fill(ngram_.begin(), ngram_.end(), ngram{}); }

 private:
  static std::size_t rounded(std::size_t ngrams) {
    error::require<error::bad_config>(ngrams > 0 && ngrams <= std::size_t{1} << 40,
                                      "ngram_table: ", ngrams, " n-grams (expected 1 to 2^40)");
    std::size_t n = ways;
    while (n < ngrams) n *= 2;
    return n;
  }
  static std::uint64_t key_of(std::span<const token_id> tokens) {
    std::uint64_t h = tokens.size() * 0xA24BAED4963EE407;  // so that lengths do not meet
    for (const token_id t : tokens) {
      h = (h ^ static_cast<std::uint32_t>(t)) * 0x9E3779B97F4A7C15;
      h = (h ^ h >> 32) * 0xD6E8FEB86659FD93;
      h ^= h >> 29;
    }
    return h != 0 ? h : 1;
  }
  std::size_t first_place(std::uint64_t key) const { return key % (ngram_.size() / ways) * ways; }
  std::span<ngram> place(std::uint64_t key) {
    return std::span(ngram_).subspan(first_place(key), ways);
  }
  static void halve(ngram& g) {
    g.seen /= 2;
    std::size_t left = 0;
    for (follower f : g.next)
      if ((f.count /= 2) > 0) g.next[left++] = f;
    std::fill(g.next.begin() + static_cast<std::ptrdiff_t>(left), g.next.end(), follower{});
  }

  std::vector<ngram> ngram_;
};

/// Followers of pairs of tokens in a text that does not change: see ngram_corpus_builder.
class ngram_corpus {
 public:
  /// Followers of (a, b), the most frequent first. O(log pairs).
  std::span<const follower> find(token_id a, token_id b) const {
    const std::uint64_t key = key_of(a, b);
    const auto pair = std::lower_bound(key_.begin(), key_.end(), key);
    if (pair == key_.end() || *pair != key) return {};
    const auto i = static_cast<std::size_t>(pair - key_.begin());
    return std::span(next_).subspan(first_[i], first_[i + 1] - first_[i]);
  }
  std::size_t pairs() const { return key_.size(); }
  std::size_t bytes() const {
    return key_.size() * sizeof(std::uint64_t) + first_.size() * sizeof(std::uint32_t) +
           next_.size() * sizeof(follower);
  }

 private:
  friend class ngram_corpus_builder;
  static std::uint64_t key_of(token_id a, token_id b) {
    return std::uint64_t{static_cast<std::uint32_t>(a)} << 32 | static_cast<std::uint32_t>(b);
  }

  std::vector<std::uint64_t> key_;    // [pair] rising
  std::vector<std::uint32_t> first_;  // [pair + 1] where its followers start
  std::vector<follower> next_;
};

/// Counts what follows each pair of tokens in texts. A build holds 16 bytes for each different
/// triple, and as much again, or a MiB, for triples that come in; the corpus 8 bytes for each
/// triple and 12 for each pair.
class ngram_corpus_builder {
 public:
  /// Adds a text of its own: nothing follows across its ends. O(tokens · log triples).
  void add(std::span<const token_id> text) {
    for (std::size_t i = 2; i < text.size(); ++i) {
      triple_.push_back({ngram_corpus::key_of(text[i - 2], text[i - 1]), {text[i], 1}});
      if (triple_.size() >= 2 * merged_ + 65536) merge();
    }
  }

  /// What was counted, but for followers seen less than `least` times. Throws error::bad_config if
  /// there are 2³² or more of them. Forgets all.
  ngram_corpus build(std::uint32_t least = 1) {
    merge();
    std::erase_if(triple_, [least](const triple& t) { return t.next.count < least; });
    error::require<error::bad_config>(triple_.size() < std::size_t{1} << 32,
                                      "ngram_corpus_builder: ", triple_.size(),
                                      " followers (expected less than 2^32)");
    std::sort(triple_.begin(), triple_.end(), [](const triple& a, const triple& b) {
      if (a.key != b.key) return a.key < b.key;
      return a.next.count != b.next.count ? a.next.count > b.next.count
                                          : a.next.token < b.next.token;
    });
    std::size_t pairs = 0;
    for (std::size_t i = 0; i < triple_.size(); ++i)
      pairs += i == 0 || triple_[i].key != triple_[i - 1].key;
    ngram_corpus out;
    out.key_.reserve(pairs);
    out.first_.reserve(pairs + 1);
    out.next_.reserve(triple_.size());
    for (const triple& t : triple_) {
      if (out.key_.empty() || out.key_.back() != t.key) {
        out.key_.push_back(t.key);
        out.first_.push_back(static_cast<std::uint32_t>(out.next_.size()));
      }
      out.next_.push_back(t.next);
    }
    out.first_.push_back(static_cast<std::uint32_t>(out.next_.size()));
    triple_ = {};
    merged_ = 0;
    return out;
  }

 private:
  struct triple {
    std::uint64_t key;
    follower next;
  };
  void merge() {
    std::sort(triple_.begin(), triple_.end(), [](const triple& a, const triple& b) {
      return a.key != b.key ? a.key < b.key : a.next.token < b.next.token;
    });
    merged_ = 0;
    for (std::size_t i = 0; i < triple_.size(); ++i) {
      const triple t = triple_[i];
      if (merged_ > 0 && triple_[merged_ - 1].key == t.key &&
          triple_[merged_ - 1].next.token == t.next.token) {
        std::uint32_t& count = triple_[merged_ - 1].next.count;
        count += std::min(t.next.count, 0xFFFFFFFF - count);
      } else {
        triple_[merged_++] = t;
      }
    }
    triple_.resize(merged_);
  }

  std::vector<triple> triple_;  // the first `merged_` all different
  std::size_t merged_ = 0;
};

}  // namespace weir::inline WEIR_TARGET
