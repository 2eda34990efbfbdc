// Bodies of what drafts tokens.
#include <weir/core/target.hpp>

#if WEIR_DECLARED_ONLY
#include <weir/speculation/best_mask_plan.inl.hpp>
#include <weir/speculation/draft_tree.inl.hpp>
#include <weir/speculation/drafters/lookahead.inl.hpp>
#include <weir/speculation/drafters/mask_tokens.inl.hpp>
#include <weir/speculation/drafters/ngram_cache.inl.hpp>
#include <weir/speculation/drafters/prompt_lookup.inl.hpp>
#include <weir/speculation/mask_plan.inl.hpp>
#include <weir/speculation/ngram_table.inl.hpp>
#include <weir/speculation/pass_times.inl.hpp>
#include <weir/speculation/token_trie.inl.hpp>
#include <weir/speculation/tree_shape.inl.hpp>
#endif
