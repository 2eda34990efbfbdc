// What README's first program leaves out: every policy by name, codecs, layouts, drafters,
// verifiers, batches and cautious decoders. Compiled for its warnings, never run.
#include <tuple>

#include <weir/presets.hpp>
#include <weir/reducers/flash_vstream.hpp>
#include <weir/reducers/hired.hpp>
#include <weir/speculation/drafters/adaptive_length.hpp>
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/typical_acceptance_lossy.hpp>
#include <weir/stream/cautious_decoder.hpp>
#include <weir/stream/chosen_cache.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/testing/conformance.hpp>
#include <weir/weir.hpp>

namespace {

using namespace weir;

template <class Codec, class Keep>
void step(const kv_shape& shape, const Keep& keep, std::span<float> x) {
  kv_cache<Codec, Keep, positions::original, layouts::paged> cache(shape, keep);
  const row row;
  auto step = cache.begin({&row, 1});
  step.attend(0, x, x, x, x);
  step.commit();
  cache.take_back();
  cache.reset();
}

template <class... Recipes>
void step_all(std::tuple<Recipes...>*, const kv_shape& shape, std::span<float> x) {
  (step<f16>(shape, Recipes::authors(), x), ...);
}

using plain = keep<sinks, window>;
using cache = kv_cache<int8, plain, positions::within_cache>;
using pages = kv_cache<int4, plain, positions::within_cache, layouts::paged>;

}  // namespace

void use_policies(const kv_shape& shape, std::span<float> x,
                  std::shared_ptr<const query_centres> centres, cautious_decoder<pages>& cautious) {
  step_all(static_cast<presets::recipes::all*>(nullptr), shape, x);
  step<f32>(shape, keep{window{8}, trigonometric{8, std::move(centres)}}, x);
  step<bf16>(shape, keep_all{8}, x);
  for (std::string_view piece : cautious.generate("", {})) static_cast<void>(piece);
  static_cast<void>(weir::testing::broken_properties([](std::size_t n) { return key_norm{n}; }));
}

template class weir::stream_decoder<cache, speculate<lookahead>>;
template class weir::stream_decoder<cache, speculate<ngram_cache, rejection_sampling>>;
template class weir::stream_decoder<cache, speculate<early_exit, typical_acceptance_lossy>>;
template class weir::stream_decoder<cache, speculate<adaptive_length<draft_model<cache>>>>;
template class weir::stream_decoder<cache, speculate<combined<prompt_lookup, static_tree<cache>>>>;
template class weir::stream_decoder<cache, speculate<dynamic_tree<cache>>>;
template class weir::stream_batch<pages, speculate<prompt_lookup>>;
