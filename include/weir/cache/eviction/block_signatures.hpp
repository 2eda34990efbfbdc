// Block signatures: KVCrush as the authors' code has it, over blocks of tokens that stay or go
// together. The paper's form, over single tokens, is signatures.hpp; arXiv 2503.00022.
//
// An entry's score is its sum over a layer's heads, and the better half of all candidates stands
// out. A block's signature has a bit a token: whether it stands out. The base keeps the blocks with
// the largest sums; the others are put in order of their signatures' Hamming distance to an anchor,
// and representatives are taken at even steps. Works around any scoring policy.
//
// Deviations. `budget` includes the representatives; the authors add them to it. Where fewer blocks
// would go than there may be representatives, theirs rescues none; here all of them stay, as there
// is room. A block is `block` stream indices. Of one that another policy selects in part, the rest
// counts as a block; multiples of `block` as cadence, window and sinks leave none like that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/packed_index.hpp>
#include <weir/cache/eviction/signatures.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

template <scoring_policy Base>
struct block_signatures : Base {
  static constexpr std::size_t max_tokens = 1024;  ///< of a block
  std::size_t block = 32;                          ///< tokens
  std::size_t representatives = 0;                 ///< blocks, of the budget
  signature_anchor anchor = signature_anchor::random;
  std::uint64_t seed = 0;
  static constexpr decision_scope scope = decision_scope::layer;

  block_signatures() = default;
  block_signatures(Base base, std::size_t tokens, std::size_t r,
                   signature_anchor a = signature_anchor::random, std::uint64_t s = 0)
      : Base(std::move(base)), block(tokens), representatives(r), anchor(a), seed(s) {}

  void validate(const kv_shape& shape) const {
    validate_policy(base(), shape);
    const std::size_t most = std::min(this->budget, max_tokens);
    error::require<error::bad_config>(block > 0 && block <= most, "block_signatures: blocks of ",
                                      block, " tokens (expected 1 to ", most,
                                      most == max_tokens ? ")" : ", the budget)");
  }
  std::size_t scratch(const kv_shape& shape) const { return scratch_of(base(), shape) + 7; }

  void choose(const head_scores& scores, selection& open) const {
    const std::size_t arrays = scratch_of(base(), open.view().shape());
    const auto array = [&](std::size_t k) { return open.view().scratch(arrays + k); };
    const auto score = array(0), list = array(1), stands_out = array(2);
    const auto number = [](std::span<float> x, std::size_t n) {
      return x.begin() + static_cast<std::ptrdiff_t>(n);
    };
    const std::size_t n = detail::sum_candidates(scores, open, score, list);
    std::nth_element(list.begin(), number(list, n / 2), number(list, n), detail::best_first(score));
    std::fill(stands_out.begin(), stands_out.end(), 0.0f);
    for (const float i : list.first(n / 2)) stands_out[detail::unpacked(i)] = 1;

    // Blocks, in stream order: [block] sum, size and first entry; [place in a block] who wins.
    const auto sum = array(3), size = array(4), first = array(5);
    std::int32_t votes[max_tokens] = {};
    std::size_t blocks = 0;
    for (std::size_t i = 0, last = 0; i < open.size(); ++i) {
      if (open.is_taken(i)) continue;
      const std::uint64_t rank = rank_of(open.view(), i);
      if (blocks == 0 || rank / block != rank_of(open.view(), last) / block) {
        sum[blocks] = size[blocks] = 0;
        first[blocks++] = detail::packed(i);
      }
      sum[blocks - 1] += score[i];
      size[blocks - 1] += 1;
      votes[rank % block] += stands_out[i] != 0 ? 1 : -1;
      last = i;
    }
    const auto for_each_entry = [&](std::size_t b, auto use) {
      for (std::size_t i = detail::unpacked(first[b]), left = static_cast<std::size_t>(size[b]);
           left > 0; ++i)
        if (!open.is_taken(i)) use(i), --left;
    };
    const auto distance = score;  // [block]; scores are no longer needed
    for (std::size_t b = 0; b < blocks; ++b) {
      float bits = 0;
      for_each_entry(b, [&](std::size_t i) {
        const std::uint64_t place = rank_of(open.view(), i) % block;
        bits += (stands_out[i] != 0) != anchor_bit(anchor, place, votes[place] > 0, seed);
      });
      distance[b] = bits;
    }

    const auto order = array(6).first(blocks);
    for (std::size_t b = 0; b < blocks; ++b) order[b] = detail::packed(b);
    std::sort(order.begin(), order.end(), detail::best_first(sum));
    const auto take_whole = [&](std::size_t b, std::size_t room) {
      const auto tokens = static_cast<std::size_t>(size[b]);
      if (tokens > room) return std::size_t{0};
      for_each_entry(b, [&](std::size_t i) { open.take(i); });
      size[b] = 0;  // nothing of it is left to be had
      return tokens;
    };
    const auto take_best = [&](std::size_t room) {
      for (const float b : order) room -= take_whole(detail::unpacked(b), room);
    };
    take_best(open.left() - std::min(open.left(), representatives * block));
    const auto rest = list.first(blocks);
    const auto end = std::copy_if(order.begin(), order.end(), rest.begin(),
                                  [&](float b) { return size[detail::unpacked(b)] > 0; });
    for_each_representative(rest.first(static_cast<std::size_t>(end - rest.begin())), distance,
                            representatives, [&](std::size_t b) { take_whole(b, open.left()); });
    take_best(open.left());  // what broken blocks left of the budget
  }

 private:
  const Base& base() const { return *this; }
  std::uint64_t rank_of(const slots_view& view, std::size_t i) const {
    return view.index(view.at(i)).value - view.first_index().value;
  }
};

}  // namespace weir::inline WEIR_TARGET
