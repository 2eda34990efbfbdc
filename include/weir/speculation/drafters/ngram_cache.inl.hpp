// Bodies of speculation/drafters/ngram_cache.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/ngram_table.hpp>
#include <weir/speculation/token_draft.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE ngram_cache::state::state(const ngram_cache& settings, const draft_setup&)
    : how_(checked(settings)), own_(settings.ngrams) {
  recent_.reserve(kept);
  path_.reserve(settings.tokens);
}

WEIR_INLINE void ngram_cache::state::append(std::span<const token_id> said) {
  for (const token_id token : said) {
    for (std::size_t n = how_.shortest; n <= std::min(how_.longest, recent_.size()); ++n) {
      const auto last = std::span<const token_id>(recent_).last(n);
      own_.count(last, token);
      if (how_.shared && how_.teaches) how_.shared->count(last, token);
    }
    if (recent_.size() == kept) recent_.erase(recent_.begin());
    recent_.push_back(token);
  }
}

WEIR_INLINE void ngram_cache::state::propose(const draft_request& request, draft_tree& tree) {
  path_.clear();
  draft_tree::node at = 0;
  while (tree.has_room(at)) {
    const auto next = draft(request, path_);
    if (!next) return;
    at = tree.add(next->token, at);
    path_.push_back(next->token);
  }
}

WEIR_INLINE std::optional<token_draft> ngram_cache::state::draft(
    const draft_request&, std::span<const token_id> path) const {
  std::array<token_id, kept> line;  // the last tokens of stream and path
  const std::size_t n = std::min(kept, recent_.size() + path.size());
  const std::size_t of_path = std::min(n, path.size());
  std::copy(recent_.end() - static_cast<std::ptrdiff_t>(n - of_path), recent_.end(), line.begin());
  std::copy(path.end() - static_cast<std::ptrdiff_t>(of_path), path.end(),
            line.begin() + static_cast<std::ptrdiff_t>(n - of_path));
  const auto last = std::span<const token_id>(line).first(n);
  std::span<const follower> in_corpus;
  if (how_.corpus && n >= 2) in_corpus = how_.corpus->find(last[n - 2], last[n - 1]);
  auto found = among(own_, how_.lax, last, in_corpus);
  if (!found && how_.shared) found = among(*how_.shared, how_.strict, last, in_corpus);
  if (!found) found = corpus_alone(in_corpus);
  return found;
}

WEIR_INLINE const ngram_cache& ngram_cache::state::checked(const ngram_cache& s) {
  error::require<error::bad_config>(s.shortest > 0 && s.shortest <= s.longest && s.longest <= kept,
                                    "ngram_cache: n-grams of ", s.shortest, " to ", s.longest,
                                    " tokens (expected 1 <= shortest <= longest <= 4)");
  return s;
}

WEIR_INLINE std::optional<token_draft> ngram_cache::state::among(
    const ngram_table& table, const ngram_limits& limits, std::span<const token_id> last,
    std::span<const follower> in_corpus) const {
  for (std::size_t n = std::min(how_.longest, last.size()); n >= how_.shortest; --n) {
    const auto* known = table.find(last.last(n));
    if (known == nullptr || known->seen < limits.seen[n - 1]) continue;
    follower best;
    std::uint64_t most = 0;
    for (const follower& f : known->next) {
      if (f.count == 0) break;
      const std::uint64_t weight = f.count * corpus_weight(f.token, in_corpus);
      if (weight > most) most = weight, best = f;
    }
    if (trusted(best.count, known->seen, limits.percent[n - 1]))
      return token_draft{best.token, share(best.count, known->seen)};
  }
  return std::nullopt;
}

WEIR_INLINE std::uint64_t ngram_cache::state::corpus_weight(token_id token,
                                                            std::span<const follower> in_corpus) {
  for (const follower& f : in_corpus)
    if (f.token == token) return std::uint64_t{100} * f.count;
  return 1;
}

WEIR_INLINE std::optional<token_draft> ngram_cache::state::corpus_alone(
    std::span<const follower> in_corpus) const {
  std::uint64_t seen = 0;
  for (const follower& f : in_corpus) seen += f.count;
  if (seen == 0 || seen < how_.lax.seen[1]) return std::nullopt;
  const follower& best = in_corpus.front();
  if (!trusted(best.count, seen, how_.lax.percent[1])) return std::nullopt;
  return token_draft{best.token, share(best.count, seen)};
}

}  // namespace weir::inline WEIR_TARGET
