// Bodies of speculation/ngram_table.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/ngram_table.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void ngram_table::count(std::span<const token_id> tokens, token_id token) {
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
  if (g->seen >= max_seen) halve(*g);
}

WEIR_INLINE const ngram_table::ngram* ngram_table::find(std::span<const token_id> tokens) const {
  const std::uint64_t key = key_of(tokens);
  const std::size_t first = first_place(key);
  for (std::size_t i = 0; i < ways; ++i)
    if (ngram_[first + i].key == key) return &ngram_[first + i];
  return nullptr;
}

WEIR_INLINE std::size_t ngram_table::rounded(std::size_t ngrams) {
  error::require<error::bad_config>(ngrams > 0 && ngrams <= std::size_t{1} << 40,
                                    "ngram_table: ", ngrams, " n-grams (expected 1 to 2^40)");
  std::size_t n = ways;
  while (n < ngrams) n *= 2;
  return n;
}

WEIR_INLINE std::uint64_t ngram_table::key_of(std::span<const token_id> tokens) {
  std::uint64_t h = tokens.size() * 0xA24BAED4963EE407;  // so that lengths do not meet
  for (const token_id t : tokens) {
    h = (h ^ static_cast<std::uint32_t>(t)) * 0x9E3779B97F4A7C15;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93;
    h ^= h >> 29;
  }
  return h != 0 ? h : 1;
}

WEIR_INLINE void ngram_table::halve(ngram& g) {
  g.seen /= 2;
  std::size_t left = 0;
  for (follower f : g.next)
    if ((f.count /= 2) > 0) g.next[left++] = f;
  std::fill(g.next.begin() + static_cast<std::ptrdiff_t>(left), g.next.end(), follower{});
}

WEIR_INLINE std::span<const follower> ngram_corpus::find(token_id a, token_id b) const {
  const std::uint64_t key = key_of(a, b);
  const auto pair = std::lower_bound(key_.begin(), key_.end(), key);
  if (pair == key_.end() || *pair != key) return {};
  const auto i = static_cast<std::size_t>(pair - key_.begin());
  return std::span(next_).subspan(first_[i], first_[i + 1] - first_[i]);
}

WEIR_INLINE void ngram_corpus_builder::add(std::span<const token_id> text) {
  for (std::size_t i = 2; i < text.size(); ++i) {
    triple_.push_back({ngram_corpus::key_of(text[i - 2], text[i - 1]), {text[i], 1}});
    if (triple_.size() >= 2 * merged_ + 65536) merge();
  }
}

WEIR_INLINE ngram_corpus ngram_corpus_builder::build(std::uint32_t least) {
  merge();
  std::erase_if(triple_, [least](const triple& t) { return t.next.count < least; });
  error::require<error::bad_config>(triple_.size() < std::size_t{1} << 32,
                                    "ngram_corpus_builder: ", triple_.size(),
                                    " followers (expected less than 2^32)");
  std::sort(triple_.begin(), triple_.end(), [](const triple& a, const triple& b) {
    if (a.key != b.key) return a.key < b.key;
    return a.next.count != b.next.count ? a.next.count > b.next.count : a.next.token < b.next.token;
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

WEIR_INLINE void ngram_corpus_builder::merge() {
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

}  // namespace weir::inline WEIR_TARGET
