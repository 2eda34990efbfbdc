// Drafts what followed the last time: prompt lookup decoding (A. Saxena, 2023), here over the last
// `history` tokens of the stream, prompts and output alike.
//
// Where it is silent: of several earlier places the latest is taken, and the longest n-gram wins.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct prompt_lookup {
  std::size_t tokens = 10;  ///< drafts at most
  std::size_t longest = 3;  ///< n-grams looked for, longest first
  std::size_t shortest = 1;
  std::size_t history = 8192;  ///< tokens looked through, the newest of the stream

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  /// An n-gram's latest place is found through a table of hashes, one for each length, and a chain
  /// of earlier places with the same hash.
  class state {
   public:
    state(const prompt_lookup& settings, const draft_setup&);
    static std::size_t required_bytes(const prompt_lookup& s, const draft_setup&);

    /// O(longest) a token.
    void append(std::span<const token_id> said);

    /// O(longest² + tokens), if hashes are good: where all n-grams of the history share one,
    /// O(history).
    void propose(const draft_request&, draft_tree& tree);

    void reset() {
      std::fill(latest_.begin(), latest_.end(), 0);
      end_ = 0;
    }

   private:
    static const prompt_lookup& checked(const prompt_lookup& s);
    static std::size_t lengths(const prompt_lookup& s) { return s.longest - s.shortest + 1; }
    static std::size_t slots(const prompt_lookup& s);
    /// The place in the table of the n-gram that ends the history.
    std::size_t slot(std::size_t n) const;
    /// Where the place before `behind` with the same hash stands.
    std::size_t link(std::size_t n, std::uint64_t behind) const {
      return (n - shortest_) * history_.size() + behind % history_.size();
    }
    /// True if there are n tokens before `behind`, and none of them is forgotten.
    bool remembered(std::uint64_t behind, std::size_t n) const {
      return behind >= n && end_ - (behind - n) <= history_.size();
    }
    /// True if the n tokens before `behind` are the last n.
    bool same(std::uint64_t behind, std::size_t n) const;

    std::size_t shortest_, longest_, slots_;  // of each length's table, a power of 2
    std::vector<token_id> history_;           // [index mod history]
    std::vector<std::uint64_t> latest_;       // [length, slot] index behind the n-gram; 0: none
    std::vector<std::uint64_t> earlier_;      // [length, index mod history] the one before it
    std::uint64_t end_ = 0;
  };
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/drafters/prompt_lookup.inl.hpp>
#endif
