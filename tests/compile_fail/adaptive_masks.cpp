// Rounds without drafts, and a drafter that would have no masks to go by behind them.
#include <weir/speculation/drafters/adaptive_length.hpp>
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
using speculation = weir::speculate<weir::adaptive_length<inner>>;

#include "use_speculation.hpp"
