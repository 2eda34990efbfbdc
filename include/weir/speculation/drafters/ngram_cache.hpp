// Drafts what mostly followed the last few tokens: the three caches of llama.cpp's lookup decoding
// (common/ngram-cache.cpp). Of the stream's own n-grams the longest is taken that was seen often
// enough and is followed by one token mostly; else of those that streams share, with stricter
// limits; else what follows the last two tokens in a corpus. What follows in the corpus also weighs
// in with the other two. Drafts are made one behind the other until there is none.
//
// Deviations. Tables are of a fixed size and forget (see ../ngram_table.hpp). What a stream says
// enters the shared table at once rather than at its end. Ties: the follower that was there first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/ngram_table.hpp>
#include <weir/speculation/token_draft.hpp>

namespace weir::inline WEIR_TARGET {

/// When followers of an n-gram are trusted, for n = 1, 2, 3, 4.
struct ngram_limits {
  std::array<std::uint32_t, 4> seen;     ///< the n-gram, at least so often
  std::array<std::uint32_t, 4> percent;  ///< of these, followed by the one token
};

struct ngram_cache {
  std::size_t tokens = 10;  ///< drafts at most
  std::size_t longest = 4;  ///< n-grams looked for, longest first; at most 4
  std::size_t shortest = 1;
  std::size_t ngrams = 32768;             ///< of the stream that are remembered, 48 bytes each
  std::shared_ptr<ngram_table> shared{};  ///< with other streams of the same thread, or null
  bool teaches = true;                    ///< the stream's tokens enter the shared table
  std::shared_ptr<const ngram_corpus> corpus{};         ///< or null
  ngram_limits lax{{2, 2, 1, 1}, {66, 50, 50, 50}};     ///< for the stream's own, and the corpus
  ngram_limits strict{{4, 3, 2, 2}, {75, 66, 66, 66}};  ///< for the shared

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  class state;
};

class ngram_cache::state {
 public:
  state(const ngram_cache& settings, const draft_setup&);
  static std::size_t required_bytes(const ngram_cache& s, const draft_setup&) {
    return checked_sum(ngram_table::required_bytes(checked(s).ngrams),
                       checked_product(checked_sum(kept, s.tokens), sizeof(token_id)));
  }

  /// O(longest²) a token.
  void append(std::span<const token_id> said);

  /// O(longest² + followers in the corpus) a draft.
  void propose(const draft_request& request, draft_tree& tree);

  /// See ../draft.hpp. Confidence is the share of times that the token followed.
  std::optional<token_draft> draft(const draft_request&, std::span<const token_id> path) const;

  /// Ends the stream; the shared table stays.
  void reset() {
    own_.clear();
    recent_.clear();
  }

 private:
  static constexpr std::size_t kept = 4;

  static const ngram_cache& checked(const ngram_cache& s);

  std::optional<token_draft> among(const ngram_table& table, const ngram_limits& limits,
                                   std::span<const token_id> last,
                                   std::span<const follower> in_corpus) const;
  static std::uint64_t corpus_weight(token_id token, std::span<const follower> in_corpus);
  /// The most frequent comes first.
  std::optional<token_draft> corpus_alone(std::span<const follower> in_corpus) const;
  static bool trusted(std::uint64_t count, std::uint64_t seen, std::uint32_t percent) {
    return count > 0 && 100 * count >= percent * seen;
  }
  static float share(std::uint64_t count, std::uint64_t seen) {
    return static_cast<float>(static_cast<double>(count) / static_cast<double>(seen));
  }

  ngram_cache how_;
  ngram_table own_;
  std::vector<token_id> recent_;  // the last tokens of the stream, 4 at most
  std::vector<token_id> path_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/drafters/ngram_cache.inl.hpp>
#endif
