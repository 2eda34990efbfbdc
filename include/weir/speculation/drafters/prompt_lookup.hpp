// Guesses what followed the last time: prompt lookup decoding (A. Saxena, 2023), here over the last
// `history` tokens of the stream, prompts and output alike.
//
// Where it is silent: of several earlier places the latest is taken, and the longest n-gram wins.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct prompt_lookup {
  std::size_t tokens = 10;  ///< guesses at most
  std::size_t longest = 3;  ///< n-grams looked for, longest first
  std::size_t shortest = 1;
  std::size_t history = 8192;  ///< tokens looked through, the newest of the stream

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  /// An n-gram's latest place is found through a table of hashes, one for each length, and a chain
  /// of earlier places with the same hash.
  class state {
   public:
    state(const prompt_lookup& settings, const draft_setup&)
        : shortest_(settings.shortest),
          longest_(settings.longest),
          slots_(slots(settings)),
          history_(settings.history) {
      using error::bad_config, error::require;
      require<bad_config>(
          settings.shortest > 0 && settings.shortest <= settings.longest && settings.longest <= 64,
          "prompt_lookup: n-grams of ", settings.shortest, " to ", settings.longest,
          " tokens (expected 1 <= shortest <= longest <= 64)");
      require<bad_config>(settings.history > settings.longest,
                          "prompt_lookup.history: ", settings.history,
                          " (expected more than longest = ", settings.longest, ")");
      latest_.resize(lengths(settings) * slots_);
      earlier_.resize(lengths(settings) * history_.size());
    }
    static std::size_t required_bytes(const prompt_lookup& s, const draft_setup&) {
      return s.history * sizeof(token_id) +
             lengths(s) * (slots(s) + s.history) * sizeof(std::uint64_t);
    }

    /// O(longest) a token.
    void append(std::span<const token_id> said) {
      for (const token_id token : said) {
        // What ends one token ago is found from now on: never the newest n-gram itself.
        for (std::size_t n = shortest_; n <= std::min<std::uint64_t>(longest_, end_); ++n)
          earlier_[link(n, end_)] = std::exchange(latest_[slot(n)], end_);
        history_[end_ % history_.size()] = token;
        ++end_;
      }
    }

    /// O(longest² + tokens), if hashes are good: where all n-grams of the history share one,
    /// O(history).
    void propose(const draft_request&, draft_tree& tree) {
      for (std::size_t n = longest_; n >= shortest_; --n) {
        if (n > end_) continue;
        std::uint64_t behind = latest_[slot(n)];
        while (remembered(behind, n) && !same(behind, n)) behind = earlier_[link(n, behind)];
        if (!remembered(behind, n)) continue;
        draft_tree::node at = 0;
        for (std::uint64_t i = behind; i < end_ && at != draft_tree::none; ++i)
          at = tree.add(history_[i % history_.size()], at);
        return;
      }
    }

    void reset() {
      std::fill(latest_.begin(), latest_.end(), 0);
      end_ = 0;
    }

   private:
    static std::size_t lengths(const prompt_lookup& s) { return s.longest - s.shortest + 1; }
    static std::size_t slots(const prompt_lookup& s) {
      std::size_t n = 2;
      while (n < s.history && n < std::size_t{1} << 40) n *= 2;
      return n;
    }
    /// The place in the table of the n-gram that ends the history.
    std::size_t slot(std::size_t n) const {
      std::uint64_t h = 0xcbf29ce484222325;
      for (std::uint64_t i = end_ - n; i < end_; ++i)
        h = (h ^ static_cast<std::uint32_t>(history_[i % history_.size()])) * 0x9E3779B97F4A7C15;
      return (n - shortest_) * slots_ + ((h ^ h >> 29) & (slots_ - 1));
    }
    /// Where the place before `behind` with the same hash stands.
    std::size_t link(std::size_t n, std::uint64_t behind) const {
      return (n - shortest_) * history_.size() + behind % history_.size();
    }
    /// True if there are n tokens before `behind`, and none of them is forgotten.
    bool remembered(std::uint64_t behind, std::size_t n) const {
      return behind >= n && end_ - (behind - n) <= history_.size();
    }
    /// True if the n tokens before `behind` are the last n.
    bool same(std::uint64_t behind, std::size_t n) const {
      for (std::size_t i = 1; i <= n; ++i)
        if (history_[(behind - i) % history_.size()] != history_[(end_ - i) % history_.size()])
          return false;
      return true;
    }

    std::size_t shortest_, longest_, slots_;  // of each length's table, a power of 2
    std::vector<token_id> history_;           // [index mod history]
    std::vector<std::uint64_t> latest_;       // [length, slot] index behind the n-gram; 0: none
    std::vector<std::uint64_t> earlier_;      // [length, index mod history] the one before it
    std::uint64_t end_ = 0;
  };
};

}  // namespace weir::inline WEIR_TARGET
