// Bodies of model/tokenizer/word_automaton.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/model/tokenizer/word_automaton.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE word_automaton::word_automaton(std::span<const std::string_view> words)
    : shorter_(words.size(), none) {
  std::vector<std::uint32_t> order(words.size());  // by their bytes from the last to the first
  std::iota(order.begin(), order.end(), 0u);
  const auto byte_at = [&](std::uint32_t word, std::size_t from_end) {
    return static_cast<unsigned char>(words[word][words[word].size() - 1 - from_end]);
  };
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::lexicographical_compare(
        words[a].rbegin(), words[a].rend(), words[b].rbegin(), words[b].rend(), [](char x, char y) {
          return static_cast<unsigned char>(x) < static_cast<unsigned char>(y);
        });
  });
  std::size_t count = 1;  // nodes: what a word does not share with the one before it is new
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::string_view word = words[order[i]];
    const std::string_view before = i == 0 ? std::string_view() : words[order[i - 1]];
    const auto parted = std::mismatch(word.rbegin(), word.rend(), before.rbegin(), before.rend());
    count += static_cast<std::size_t>(word.rend() - parted.first);
  }
  nodes_.reserve(count + 1);

  struct range {
    std::uint32_t low, high;
  };
  std::vector<range> ranges;  // [node] of `order`: the words that end with it
  ranges.reserve(count);
  nodes_.push_back({0, at_end, none, 0});
  ranges.push_back({0, static_cast<std::uint32_t>(words.size())});
  std::size_t length = 0, longer = 1;  // of the node at hand; where the first longer one lies
  for (state s = 0; s < nodes_.size(); ++s) {
    if (s == longer) {
      ++length;
      longer = nodes_.size();
    }
    nodes_[s].first_child = static_cast<std::uint32_t>(nodes_.size());
    auto [low, high] = ranges[s];
    if (low < high && words[order[low]].size() == length) ++low;  // is the node itself
    while (low < high) {
      const unsigned char byte = byte_at(order[low], length);
      std::uint32_t end = low + 1;
      while (end < high && byte_at(order[end], length) == byte) ++end;
      std::uint64_t steps = 0;
      const state fail = s == at_end ? at_end : read(nodes_[s].fail, byte, steps);
      node next{0, fail, nodes_[fail].longest, byte};
      if (words[order[low]].size() == length + 1) {
        shorter_[order[low]] = next.longest;
        next.longest = order[low];
      }
      nodes_.push_back(next);
      ranges.push_back({low, end});
      low = end;
    }
  }
  nodes_.push_back({static_cast<std::uint32_t>(nodes_.size()), at_end, none, 0});
}

WEIR_INLINE word_automaton::state word_automaton::read(state s, unsigned char byte,
                                                       std::uint64_t& steps) const {
  // Each fall makes the state shorter by a byte or more, each byte read longer by one at most.
  for (;; s = nodes_[s].fail) {
    ++steps;
    if (const std::uint32_t next = child(s, byte); next != none) return next;
    if (s == at_end) return at_end;
  }
}

WEIR_INLINE std::uint32_t word_automaton::child(state s, unsigned char byte) const {
  std::uint32_t low = nodes_[s].first_child;
  const std::uint32_t end = nodes_[s + 1].first_child;
  for (std::uint32_t high = end; low < high;) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (nodes_[middle].byte < byte)
      low = middle + 1;
    else
      high = middle;
  }
  return low < end && nodes_[low].byte == byte ? low : none;
}

}  // namespace weir::inline WEIR_TARGET::detail
