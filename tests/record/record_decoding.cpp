// Whole streams through the bundled model.
#include <weir/model/load_model.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/speculation/speculate.hpp>
#include <weir/stream/stream_decoder.hpp>

#include "caches.hpp"

namespace weir_record {

namespace {

constexpr std::string_view prompt =
    "It was a dark night and the wind blew. It was a dark night, and the wind blew from the sea. "
    "The old man said that it was a dark night, and that the wind blew from the sea; but the old "
    "woman said nothing.";
constexpr std::size_t tokens = 20;

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
  using guessing = weir::speculate<weir::prompt_lookup>;
  const weir::llama_model model = weir::load_model(file);
  weir::thread_pool threads;
  weir::decoder_options options;
  options.sample = {.temperature = 0.3f};
  options.seed = 25;
  options.stream = {.chunk = 48, .workers = &threads, .cadence = cadence};
  for (const recorded_cache& c : caches_of_codecs()) {
    const auto maker = c.make(weir::shape_of(model.config), budget);
    record_stream(out, c.name + " plain", weir::stream_decoder<cache>(model, maker, options));
    record_stream(out, c.name + " speculative",
                  weir::stream_decoder<cache, guessing>(
                      model, maker, options, guessing{weir::prompt_lookup{.tokens = 5}}));
  }
}

}  // namespace weir_record
