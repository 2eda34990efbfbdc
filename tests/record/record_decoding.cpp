// Whole streams through the bundled model.
#include <weir/model/load_model.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/speculation/speculate.hpp>
#include <weir/stream/stream_decoder.hpp>

#include "caches.hpp"

namespace weir_record {

namespace {

constexpr std::string_view prompt =
    "It was a dark night and the wind blew. It was a dark night and the wind";
constexpr std::size_t tokens = 12, entries = 20, decoded_cadence = 4;

/// Each row is a pass over the weights, which takes long where a processor is emulated: two presets
/// in every codec, the others in one, and pages in one.
bool is_decoded(std::string_view name) {
  if (name.find(" f16 ") != name.npos) return true;
  return (name.starts_with("streaming-llm ") || name.starts_with("d2o ")) &&
         !name.ends_with(" paged");
}

template <class Decoder>
void record_stream(record& out, const std::string& name, Decoder decoder) {
  bit_hash logits, kept, bits;
  decoder.generate(prompt,
                   [&](const weir::token_event& token) {
                     logits.add(static_cast<std::uint64_t>(token.id));
                     logits.add(decoder.logits());
                     return true;
                   },
                   {.max_tokens = tokens});
  add_entries(decoder.cache().told(), kept, bits);
  out.write("model " + name + " logits", logits);
  out.write("model " + name + " kept", kept);
  out.write("model " + name + " entries", bits);
}

}  // namespace

void record_decoding(record& out, const std::string& file) {
  using cache = weir::chosen_cache<>;
  using drafting = weir::speculate<weir::prompt_lookup>;
  const weir::llama_model model = weir::load_model(file);
  weir::thread_pool threads;
  weir::decoder_options options;
  options.sample = {.temperature = 0.3f};
  options.seed = 25;
  options.stream = {.chunk = 48, .workers = &threads, .cadence = decoded_cadence};
  for (const recorded_cache& c : caches_of_codecs()) {
    if (!is_decoded(c.name)) continue;
    const auto maker = c.make(weir::shape_of(model.config), entries);
    record_stream(out, c.name + " plain", weir::stream_decoder<cache>(model, maker, options));
    record_stream(out, c.name + " speculative",
                  weir::stream_decoder<cache, drafting>(
                      model, maker, options, drafting{weir::prompt_lookup{.tokens = 3}}));
  }
}

}  // namespace weir_record
