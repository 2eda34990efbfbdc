// What followed which tokens, and how often.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/out_of_memory.hpp>
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
  static constexpr std::uint32_t max_seen = 1 << 16;

  struct ngram {
    std::uint64_t key = 0;    ///< 0: free
    std::uint32_t seen = 0;   ///< how often, followers that were forgotten included
    std::uint32_t worth = 0;  ///< what it is kept by
    std::array<follower, followers> next{};
  };

  /// Room for `ngrams`, rounded up to a power of 2, at least four. Throws error::bad_config for
  /// none or more than 2^40, error::out_of_memory.
  explicit ngram_table(std::size_t ngrams) WEIR_TRY : ngram_(rounded(ngrams)) {}
  WEIR_OR_OUT_OF_MEMORY("ngram_table")
  static std::size_t required_bytes(std::size_t ngrams) { return rounded(ngrams) * sizeof(ngram); }
  std::size_t bytes() const { return ngram_.size() * sizeof(ngram); }

  /// Counts that `tokens` were followed by `token`. O(tokens).
  void count(std::span<const token_id> tokens, token_id token);

  /// What is known of n-gram `tokens`, or null. O(tokens).
  const ngram* find(std::span<const token_id> tokens) const;

  void clear() { std::fill(ngram_.begin(), ngram_.end(), ngram{}); }

 private:
  static std::size_t rounded(std::size_t ngrams);
  static std::uint64_t key_of(std::span<const token_id> tokens);
  std::size_t first_place(std::uint64_t key) const { return key % (ngram_.size() / ways) * ways; }
  std::span<ngram> place(std::uint64_t key) {
    return std::span(ngram_).subspan(first_place(key), ways);
  }
  static void halve(ngram& g);

  std::vector<ngram> ngram_;
};

/// Followers of pairs of tokens in a text that does not change: see ngram_corpus_builder.
class ngram_corpus {
 public:
  /// Followers of (a, b), the most frequent first. O(log pairs).
  std::span<const follower> find(token_id a, token_id b) const;
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
  void add(std::span<const token_id> text);

  /// What was counted, but for followers seen less than `least` times. Throws error::bad_config if
  /// there are 2³² or more of them. Forgets all.
  ngram_corpus build(std::uint32_t least = 1);

 private:
  struct triple {
    std::uint64_t key;
    follower next;
  };
  void merge();

  std::vector<triple> triple_;  // the first `merged_` all different
  std::size_t merged_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/ngram_table.inl.hpp>
#endif
