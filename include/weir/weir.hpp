// Everything a CPU user needs. Published policies by name are in weir/presets.hpp; a cache alone is
// in weir/cache.hpp, and what headers that only name types need in weir/fwd.hpp.
#pragma once

#include <weir/core/target.hpp>

#if !defined(WEIR_REFUSED)

#include <weir/cache.hpp>
#include <weir/model/load_model.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/drafters/adaptive_length.hpp>
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/mask_tokens.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/speculation/drafters/token_heads.hpp>
#include <weir/speculation/speculate.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/typical_acceptance_lossy.hpp>
#include <weir/stream/cautious_decoder.hpp>
#include <weir/stream/chosen_cache.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/stream/stream_decoder.hpp>
#include <weir/stream/token_stream.hpp>

#endif
