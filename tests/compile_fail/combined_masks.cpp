// Drafts of several drafters, one of which goes by the masks of its own.
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/mask_tokens.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/speculation/speculate.hpp>

struct no_masks {
  std::size_t masks() const { return 0; }
  std::span<const float> embeddings() const { return {}; }
};

#ifdef WEIR_FAIL
using inner = weir::mask_tokens<no_masks>;
#else
using inner = weir::prompt_lookup;
#endif
using speculation = weir::speculate<weir::combined<weir::prompt_lookup, inner>>;

#include "use_speculation.hpp"
