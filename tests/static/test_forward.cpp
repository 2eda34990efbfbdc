// weir/fwd.hpp names the types that the other headers define.

#include <weir/fwd.hpp>

#include "support/catch.hpp"

namespace {

template <class T>
concept complete = requires { sizeof(T); };

using cache_options_before = weir::cache_options;
using model_before = weir::llama_model;
using kept_before = weir::keep<weir::sinks, weir::window>;
using error_before = weir::error::bad_config;
template <class Arch>
using cache_before = weir::kv_cache<weir::f16, kept_before, weir::positions::within_cache,
                                    weir::layouts::paged, Arch>;

// Each is what weir has under that name: two of one name would be ambiguous below.
int layers(const weir::kv_shape& shape);
bool has_parent(const weir::row& row);

}  // namespace

#include <type_traits>

#include <weir/presets.hpp>
#include <weir/weir.hpp>

namespace {

int layers(const weir::kv_shape& shape) { return static_cast<int>(shape.layers); }
bool has_parent(const weir::row& row) { return row.parent != weir::row::previous; }

// All that weir/fwd.hpp declares is defined now.
static_assert(complete<weir::gguf_file> && complete<weir::incremental_decoder> &&
              complete<weir::tokenizer> && complete<weir::llama_config> &&
              complete<weir::llama_model> && complete<weir::llama_weights> &&
              complete<weir::load_options> && complete<weir::gguf_options>);
static_assert(complete<weir::cache_options> && complete<weir::kv_shape> && complete<weir::row> &&
              complete<weir::bf16> && complete<weir::f16> && complete<weir::int4> &&
              complete<weir::int8>);
static_assert(complete<weir::heavy_hitters> && complete<weir::keep_all> && complete<weir::sinks> &&
              complete<weir::window> && complete<weir::positions::original> &&
              complete<weir::positions::within_cache> && complete<weir::layouts::contiguous> &&
              complete<weir::layouts::paged>);
static_assert(complete<weir::sampler> && complete<weir::decoder_options> &&
              complete<weir::generate_options> && complete<weir::sampling> &&
              complete<weir::stream_options> && complete<weir::token_event>);
static_assert(complete<weir::executor> && complete<weir::thread_pool> &&
              complete<weir::error::bad_call> && complete<weir::error::bad_config> &&
              complete<weir::error::bad_file> && complete<weir::error::bad_input> &&
              complete<weir::error::base>);

using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                             weir::positions::within_cache, weir::layouts::paged>;
static_assert(std::is_same_v<cache, cache_before<weir::simd::preferred>> && complete<cache>);
static_assert(complete<weir::stream_decoder<cache>> && complete<weir::cautious_decoder<cache>> &&
              complete<weir::stream_batch<cache>> && complete<weir::chosen_cache<>>);
static_assert(complete<cache_options_before> && complete<model_before> && complete<error_before>);

}  // namespace

TEST_CASE("what is declared ahead is what is defined later") {
  CHECK(layers({.layers = 3}) == 3);
  CHECK_FALSE(has_parent({}));
  CHECK(has_parent({.parent = weir::row::root}));
}
