// Speculation: a drafter drafts how the stream goes on, the target reads all drafts in one pass,
// a verifier says which of them stay. What policies of the axis provide, on one page.
//
// A drafter is a struct of settings with a class `state`, what it knows of one stream:
//
//   struct echo {                                      // drafts that the last token comes again
//     static constexpr weir::sibling_kind siblings = weir::sibling_kind::point_mass;
//     weir::draft_limits limits() const { return {.nodes = 1, .depth = 1}; }
//     struct state {
//       state(const echo&, const weir::draft_setup&) {}
//       static std::size_t required_bytes(const echo&, const weir::draft_setup&) { return 0; }
//       void append(std::span<const weir::token_id>) {}
//       void propose(const weir::draft_request&, weir::draft_tree& t) { t.add(t.token(0), 0); }
//       void reset() {}
//     };
//   };
//
// It can slow a stream down, but not change what comes out: that is the verifier's promise, given
// that siblings were made the way `siblings` says.
//
// Optional policies of `state`:
//   propose(request, tree, target)       drafts with the target's own layers: see early_exit.hpp.
//                                        The drafter says so: `drafts_in_target = true`
//   see(std::span<const float> hidden)   the target's last hidden row `[embedding_length]`, behind
//                                        the last token that stays
//   masks() -> std::span<const float>    `[mask, embedding_length]`: rows that are no tokens, to be
//   see_masks(std::span<const float>)    read behind drafts. `propose` says where, by
//                                        tree.set_masks(node, n): the first n in a chain, which no
//                                        other row sees and the cache never keeps. Then come the
//                                        logits `[mask, vocabulary]` behind those of the node that
//                                        the stream goes on from, none if it had none. `limits`
//                                        counts them: see drafters/mask_tokens.hpp
//   learn(const round_outcome&)          what a round took and brought
//   draft(request, path)                 a draft behind others' drafts: see draft.hpp
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/token.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/speculation/draft_tree.hpp>

namespace weir::inline WEIR_TARGET {

/// How the children of one node were made. Each kind is exact under its own rule alone.
enum class sibling_kind : std::uint8_t {
  point_mass,           ///< different tokens, chosen without the target's randomness
  independent,          ///< each drawn from the distribution that the drafter left; may repeat
  without_replacement,  ///< drawn in turn from that distribution, earlier siblings taken out
  coupled               ///< different tokens, chosen by the randomness that the target draws by
};

/// What decoding promises, relative to decoding without drafts.
enum class guarantee : std::uint8_t {
  lossy,               ///< nothing; such policies say so in their names
  exact_distribution,  ///< the same distribution; other tokens for the same seed
  exact_sequence       ///< the same tokens, the same bits
};

/// What a drafter is made with.
struct draft_setup {
  std::size_t vocabulary = 0;
  std::size_t layers = 0;            ///< of the target
  std::size_t embedding_length = 0;  ///< of the target
  sampling sample = {};              ///< how the target's tokens are chosen
  executor* threads = nullptr;       ///< may be used while a call lasts; never null
};

/// What there is to draft.
struct draft_request {
  std::uint64_t index = 0;    ///< stream index of the root
  std::uint64_t round = 0;    ///< rounds of the stream so far: different for each request
  random_source random = {};  ///< the stream's: see purpose::drafting
};

/// One round, looked back on.
struct round_outcome {
  std::size_t drafts = 0;  ///< nodes proposed
  std::size_t depth = 0;   ///< of them on the longest path
  std::size_t accepted = 0;
  double draft_seconds = 0;   ///< until the tree was there
  double pass_seconds = 0;    ///< of the target's pass, over all rows of all streams in it
  std::size_t pass_rows = 0;  ///< those rows
};

template <class D>
concept drafter =
    std::copy_constructible<D> && requires(const D d, const draft_setup& setup,
                                           typename D::state& s, std::span<const token_id> tokens) {
      { D::siblings } -> std::convertible_to<sibling_kind>;
      { d.limits() } -> std::same_as<draft_limits>;
      requires std::constructible_from<typename D::state, const D&, const draft_setup&>;
      { D::state::required_bytes(d, setup) } -> std::same_as<std::size_t>;
      s.append(tokens);  // tokens that are certain, each once, in stream order, the root last
      s.reset();
    };

/// Drafters that need the target's layers, in the same pass.
template <class D>
inline constexpr bool drafts_in_target = requires { requires D::drafts_in_target; };

template <class S>
concept sees_hidden_rows = requires(S& s, std::span<const float> hidden) { s.see(hidden); };
template <class S>
concept uses_masks = requires(S& s, std::span<const float> logits) {
  { std::as_const(s).masks() } -> std::convertible_to<std::span<const float>>;
  s.see_masks(logits);
};
template <class S>
concept learns_from_rounds = requires(S& s, const round_outcome& o) { s.learn(o); };

/// What a verifier decided: a way down the tree, then one token of the target's own.
struct verification {
  std::vector<draft_tree::node>
      path;            ///< nodes, each the child of the one before, the root left out
  token_id extra = 0;  ///< what follows the last of them
};

/// What a verifier is made with.
struct verify_setup {
  std::size_t vocabulary = 0;
  draft_limits limits = {};  ///< of the drafter
};

/// A verifier is a struct of settings with a class template `state<sibling_kind>`: how it goes
/// about drafts made in that way, with what memory it needs for that.
///
///   state(const V&, const verify_setup&)
///   static std::size_t required_bytes(const V&, const verify_setup&)
///   void verify(const draft_tree& tree, Target& target, verification& out)
///
/// `verify` walks down from the root, and leaves in `out.path` (empty when it is called) and
/// `out.extra` what it decided. `target` is what the model said of the tree:
///
///   sample(node) -> token_id            what plain decoding would draw behind `node`
///   distribution(node) -> span<const token_probability>    the distribution that it would draw
///   from, ids rising,
///                                       until the next question
///   accept_with_probability(node, sibling, p) -> bool    true with probability p: one decision for
///   each sibling draw(node, weights) -> token_id     from another distribution, `[vocabulary]` of
///   any sum: at most one go(node)                            on to a child back() up again to its
///   parent
///
/// Questions are about the node that the walk has come to. It ends at the last node of the path.
template <class V>
concept verifier = std::copy_constructible<V> && requires {
  { V::level } -> std::convertible_to<guarantee>;
  { V::accepts(sibling_kind{}) } -> std::same_as<bool>;
  {
    V::needs_distributions
  } -> std::convertible_to<bool>;  // draft_tree::distribution, for sampled siblings
};

}  // namespace weir::inline WEIR_TARGET
