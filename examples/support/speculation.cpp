// Sessions that draft.
#include <algorithm>
#include <iterator>
#include <utility>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/speculation/drafters/adaptive_length.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/typical_acceptance_lossy.hpp>
#include <weir/stream/model_drafters.hpp>

#include "cache_makers.hpp"
#include "chosen_drafter.hpp"
#include "session_of.hpp"

namespace tool {
namespace {

using weir::sibling_kind;
using draft_cache =
    weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>, weir::positions::within_cache>;

constexpr std::string_view asking[] = {"draft-model", "static-tree", "dynamic-tree"};

template <sibling_kind Kind, class Drafter>
chosen_drafter<Kind> chosen(const Drafter& drafter, bool adaptive) {
  if (adaptive) return chosen_drafter<Kind>(weir::adaptive_length<Drafter>{.drafter = drafter});
  return chosen_drafter<Kind>(drafter);
}

weir::draft_source<weir::token_stream<draft_cache>> source_of(const speculation_choice& c) {
  weir::error::require<weir::error::bad_config>(c.draft != nullptr, "--drafter ", c.drafter,
                                                ": needs --draft FILE, a model");
  const std::size_t context = c.draft->config.context_length;
  return {.model = c.draft,
          .keep = {weir::sinks{4}, weir::window{std::min<std::size_t>(context, 512) - 4}}};
}

/// draft-model and dynamic-tree, whose drafts are made in any way.
template <sibling_kind kind>
chosen_drafter<kind> model_drafter(const speculation_choice& c) {
  if (c.drafter == "dynamic-tree")
    return chosen<kind>(weir::dynamic_tree<draft_cache, kind>{.source = source_of(c),
                                                              .nodes = c.drafts,
                                                              .depth = c.depth,
                                                              .width = c.width,
                                                              .threshold = c.threshold},
                        c.adaptive);
  return chosen<kind>(
      weir::draft_model<draft_cache, kind>{.source = source_of(c), .tokens = c.drafts}, c.adaptive);
}
/// Drafters whose drafts are tokens, chosen with or without the target's randomness.
template <sibling_kind kind>
chosen_drafter<kind> tokens_drafter(const speculation_choice& c) {
  if (c.drafter == "lookahead")
    return chosen<kind>(weir::lookahead{.drafts = c.drafts, .depth = c.depth, .width = c.width},
                        c.adaptive);
  if (c.drafter == "ngram-cache")
    return chosen<kind>(weir::ngram_cache{.tokens = c.drafts}, c.adaptive);
  if (c.drafter == "static-tree") {
    // How often a draft model's choices were accepted, by rank: what weir-nano does for weir-tiny.
    const std::vector<std::vector<double>> accepted(c.depth,
                                                    {.55, .15, .07, .05, .03, .02, .02, .01});
    return chosen<kind>(
        weir::static_tree<draft_cache>{.source = source_of(c),
                                       .shape = weir::best_tree(accepted, c.drafts)},
        c.adaptive);
  }
  if (asks_model(c.drafter)) return model_drafter<kind>(c);
  return chosen<kind>(weir::prompt_lookup{.tokens = c.drafts}, c.adaptive);
}

struct decoder_parts {
  const weir::llama_model& model;
  cache_maker maker;
  weir::decoder_options options;
};

template <class Drafter, class Verifier>
std::unique_ptr<generator> make(decoder_parts p, const Drafter& drafter, const Verifier& verifier) {
  using speculation = weir::speculate<Drafter, Verifier>;
  return std::make_unique<generator_of<weir::chosen_cache<>, speculation>>(
      p.model, std::move(p.maker), std::move(p.options), speculation{drafter, verifier});
}

}  // namespace

std::vector<std::string> drafter_names() {
  return {"prompt-lookup", "lookahead",    "ngram-cache", "draft-model",
          "static-tree",   "dynamic-tree", "early-exit"};
}
bool asks_model(std::string_view drafter) {
  return std::find(std::begin(asking), std::end(asking), drafter) != std::end(asking);
}

std::unique_ptr<generator> make_speculator(const weir::llama_model& model, const cache_choice& c,
                                           weir::decoder_options options,
                                           const speculation_choice& s) {
  decoder_parts parts{model, maker_for(c, model), std::move(options)};
  parts.options.stream.cadence = c.cadence;
  weir::error::require<weir::error::bad_config>(
      !parts.maker.wants_log_probabilities, "--policy ", c.policy,
      ": goes by log-probabilities, and is not offered with drafts here");
  if (s.drafter == "early-exit") {
    weir::error::require<weir::error::bad_config>(
        s.verifier == "match" && !s.adaptive,
        "--drafter early-exit: is offered with --verifier match, without --adaptive");
    return make(std::move(parts), weir::early_exit{.layers = s.layers, .tokens = s.drafts},
                weir::sample_and_match{});
  }
  if (s.verifier == "rejection" && asks_model(s.drafter) && s.drafter != "static-tree")
    return make(std::move(parts), model_drafter<sibling_kind::without_replacement>(s),
                weir::rejection_sampling{});
  if (s.verifier == "rejection")
    return make(std::move(parts), tokens_drafter<sibling_kind::point_mass>(s),
                weir::rejection_sampling{});
  if (s.verifier == "typical-lossy")
    return make(std::move(parts), tokens_drafter<sibling_kind::coupled>(s),
                weir::typical_acceptance_lossy{});
  return make(std::move(parts), tokens_drafter<sibling_kind::coupled>(s), weir::sample_and_match{});
}

}  // namespace tool
