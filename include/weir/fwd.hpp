// Forward declarations of what users name, for headers that only pass it on. Declare none of it
// yourself: weir lies in an inline namespace (core/target.hpp).
//
// Default arguments of templates come with their definitions: until then all are named.
#pragma once

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

// --- models ---
class gguf_file;
class incremental_decoder;
class tokenizer;
struct gguf_options;
struct llama_config;
struct llama_model;
struct llama_weights;
struct load_options;

// --- caches ---
struct cache_options;
struct kv_shape;
struct row;
template <class Codec, class Keep, class Positions, class Layout, class Arch>
class kv_cache;

struct bf16;
struct f16;
struct int4;
struct int8;

struct heavy_hitters;
struct keep_all;
struct sinks;
struct window;
template <class... Policies>
struct keep;

namespace positions {
struct original;
struct within_cache;
}  // namespace positions

namespace layouts {
struct contiguous;
struct paged;
}  // namespace layouts

// --- streams ---
class sampler;
struct decoder_options;
struct generate_options;
struct sampling;
struct stream_options;
struct token_event;
template <class Cache>
class cautious_decoder;
template <bool WantsLogProbabilities>
class chosen_cache;
template <class Cache, class Speculation>
class stream_batch;
template <class Cache, class Speculation>
class stream_decoder;

// --- threads and errors ---
class executor;
class thread_pool;

namespace error {
struct bad_call;
struct bad_config;
struct bad_file;
struct bad_input;
struct base;
}  // namespace error

}  // namespace weir::inline WEIR_TARGET
