// Published methods by name: weir::presets::h2o is what the H2O paper keeps, spelt out of policies.
//
// A preset is a plain alias. weir::presets::recipes has, under the same name, the authors' sizes
// and how to share out a budget of your own, which is our reading of their shares:
//
//   using cache = weir::kv_cache<weir::f16, weir::presets::h2o>;
//   cache c(shape, weir::presets::recipes::h2o::authors());
//   cache d(shape, weir::presets::recipes::h2o::of({.entries = 1024, .shape = shape}));
//
// Where authors publish a ratio, or no size at all, the size is ours, and a comment says so. When
// they decide is the cache's cadence: 1 where a token comes and one goes (h2o, keyformer, tova,
// d2o), 128 of triattention, a chunk or a frame in video; snapkv's 64 rows vote if it is at least
// 64.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <weir/cache/eviction/adaptive_heads.hpp>
#include <weir/cache/eviction/adaptive_sinks.hpp>
#include <weir/cache/eviction/block_signatures.hpp>
#include <weir/cache/eviction/buckets.hpp>
#include <weir/cache/eviction/expected_attention.hpp>
#include <weir/cache/eviction/frame_diversity.hpp>
#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/key_diversity.hpp>
#include <weir/cache/eviction/key_norm.hpp>
#include <weir/cache/eviction/key_tokens.hpp>
#include <weir/cache/eviction/observation_window.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/eviction/pyramid.hpp>
#include <weir/cache/eviction/random_tokens.hpp>
#include <weir/cache/eviction/rolling_chunks.hpp>
#include <weir/cache/eviction/signatures.hpp>
#include <weir/cache/eviction/similarity_merge.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/token_kinds.hpp>
#include <weir/cache/eviction/token_surprisal.hpp>
#include <weir/cache/eviction/tova.hpp>
#include <weir/cache/eviction/trigonometric.hpp>
#include <weir/cache/eviction/variance_budgets.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::presets {

using streaming_llm = keep<sinks, window>;  ///< arXiv 2309.17453; within-cache positions
/// arXiv 2505.03745; with int4 keys and values. Its positions are not known.
using accllm = keep<sinks, window>;
/// arXiv 2412.09548; one cache for each level. As far as we know, the window is a training segment.
using meshtron = keep<window>;
using h2o = keep<window, heavy_hitters>;              ///< arXiv 2306.14048
using keyformer = keep<window, key_tokens>;           ///< arXiv 2403.09054
using sirllm = keep<sinks, token_surprisal, window>;  ///< arXiv 2405.12528; within-cache positions
using tova = keep<window, weir::tova>;                ///< arXiv 2401.06104
using snapkv = keep<window, observation_window>;      ///< arXiv 2404.14469
using pyramidkv = keep<window, pyramid<observation_window>>;      ///< arXiv 2406.02069
using ada_kv = keep<window, adaptive_heads<observation_window>>;  ///< arXiv 2407.11550; paged
using knorm = keep<window, key_norm>;                             ///< arXiv 2406.11430
using keydiff = keep<window, key_diversity>;                      ///< arXiv 2504.15364
/// arXiv 2510.00636, as far as we know.
using expected_attention = keep<window, weir::expected_attention>;
using triattention = keep<sinks, window, trigonometric>;  ///< arXiv 2604.04921
using kvcrush = keep<window, signatures<heavy_hitters>>;  ///< arXiv 2503.00022, over H2O
/// The same as the authors' code has it.
using kvcrush_blocks = keep<sinks, window, block_signatures<heavy_hitters>>;
/// arXiv 2406.13035; paged
using d2o = keep<sinks, window, variance_budgets<heavy_hitters>, similarity_merge>;
using duo_attention = per_head<keep<sinks, window>, keep_all>;  ///< arXiv 2410.10819; 1: retrieval
using streaming_vlm = keep<token_kinds<2>>;          ///< arXiv 2510.09608; within-cache positions
using infinite_vggt = keep<sinks, frame_diversity>;  ///< arXiv 2601.02281; paged
/// arXiv 2509.25161, as far as we know; within-cache positions.
using rolling_forcing = keep<sinks, rolling_chunks>;
using motion_stream = keep<sinks, rolling_chunks>;  ///< arXiv 2511.01266; within-cache positions
using stream_diffusion_v2 =
    keep<adaptive_sinks, rolling_chunks>;                   ///< MLSys 2026, as far as we know
using livevlm = keep<window, buckets<observation_window>>;  ///< arXiv 2505.15269
using random = keep<sinks, window, random_tokens>;  ///< the control that others have to beat

namespace recipes {

/// What a budget is to be shared out for.
struct ask {
  std::size_t entries = 0;   ///< selected by all policies, at least least_entries
  std::size_t cadence = 32;  ///< of the cache
  kv_shape shape = {};
  std::shared_ptr<const query_centres> centres = {};  ///< what triattention was calibrated with
  std::vector<std::uint8_t> labels = {};  ///< [layer, kv_head], for duo_attention; 1: retrieval
  std::size_t capacity = 0;               ///< tokens of a stream, for heads that keep all
  std::size_t prompt = 0;  ///< tokens of the prompt, behind which keyformer's temperature rises

  static constexpr std::size_t least_entries = 16;
  /// `entries`; throws error::bad_config if they are too few to be shared out.
  std::size_t budget() const {
    error::require<error::bad_config>(entries >= least_entries, "recipes: a budget of ", entries,
                                      " entries (expected at least ", least_entries, ")");
    return entries;
  }
};

struct streaming_llm {
  static constexpr std::string_view name = "streaming-llm";
  static presets::streaming_llm authors() { return {sinks{4}, window{2000}}; }
  static presets::streaming_llm of(const ask& a) { return {sinks{4}, window{a.budget() - 4}}; }
};
/// Sizes are not published: these are ours. Groups of int4 lie along a head's elements, so that any
/// window will do.
struct accllm {
  static constexpr std::string_view name = "accllm";
  static presets::accllm authors() { return {sinks{4}, window{1024}}; }
  static presets::accllm of(const ask& a) { return {sinks{4}, window{a.budget() - 4}}; }
};
struct meshtron {
  static constexpr std::string_view name = "meshtron";
  static presets::meshtron authors() { return {window{8192}}; }
  static presets::meshtron of(const ask& a) { return {window{a.budget()}}; }
};
struct h2o {
  static constexpr std::string_view name = "h2o";
  static presets::h2o authors() { return {window{512}, heavy_hitters{4}}; }
  static presets::h2o of(const ask& a) {
    return {window{a.budget() / 2}, heavy_hitters{a.budget() - a.budget() / 2}};
  }
};
/// H2O with sums divided by how many rows could have added to them.
struct h2o_per_row {
  static constexpr std::string_view name = "h2o-per-row";
  static presets::h2o authors() { return {window{512}, heavy_hitters{4, heavy_sum::per_row}}; }
  static presets::h2o of(const ask& a) {
    return {window{a.budget() / 2}, heavy_hitters{a.budget() - a.budget() / 2, heavy_sum::per_row}};
  }
};
/// 30 % of the budget is recent. The authors' budget is 60 % of a prompt; here: of 2048 tokens,
/// half as many to follow.
struct keyformer {
  static constexpr std::string_view name = "keyformer";
  static presets::keyformer authors() { return of({.entries = 1228, .prompt = 2048}); }
  static presets::keyformer of(const ask& a) {
    const std::size_t recent = a.budget() * 3 / 10;
    return {window{recent},
            key_tokens{.budget = a.budget() - recent, .prompt = a.prompt, .planned = 1024}};
  }
};
struct sirllm {
  static constexpr std::string_view name = "sirllm";
  static presets::sirllm authors() {
    return {sinks{4}, token_surprisal{.budget = 1020}, window{0}};
  }
  static presets::sirllm of(const ask& a) {
    const std::size_t rest = a.budget() - 4;
    return {sinks{4}, token_surprisal{.budget = rest / 2}, window{rest - rest / 2}};
  }
};
/// The size is ours; and that the newest token stays, in `of`.
struct tova {
  static constexpr std::string_view name = "tova";
  static presets::tova authors() { return {window{0}, weir::tova{512}}; }
  static presets::tova of(const ask& a) { return {window{1}, weir::tova{a.budget() - 1}}; }
};
struct snapkv {
  static constexpr std::string_view name = "snapkv";
  static presets::snapkv authors() {
    return {window{64}, observation_window{.budget = 256, .rows = 64}};
  }
  static presets::snapkv of(const ask& a) {
    const std::size_t rows = std::min(a.cadence, a.budget() / 4);
    return {window{rows}, observation_window{.budget = a.budget() - rows, .rows = rows}};
  }
};
struct pyramidkv {
  static constexpr std::string_view name = "pyramidkv";
  static presets::pyramidkv authors() { return of({.entries = 2048, .cadence = 32}); }
  static presets::pyramidkv of(const ask& a) {
    const auto base = snapkv::of(a);
    const auto& votes = std::get<1>(base.policies);  // every layer gets some of them
    return {std::get<0>(base.policies),
            pyramid<observation_window>{votes, std::min<std::size_t>(20, votes.budget)}};
  }
};
/// SnapKV's rows; the size is ours.
struct ada_kv {
  static constexpr std::string_view name = "ada-kv";
  static presets::ada_kv authors() { return of({.entries = 1024, .cadence = 32}); }
  static presets::ada_kv of(const ask& a) {
    const auto base = snapkv::of(a);
    return {std::get<0>(base.policies),
            adaptive_heads<observation_window>{std::get<1>(base.policies)}};
  }
};
/// The size is ours, and so is the window of a quarter: authors compress a prompt, whose last
/// tokens need none.
struct knorm {
  static constexpr std::string_view name = "knorm";
  static presets::knorm authors() { return {window{0}, key_norm{1024}}; }
  static presets::knorm of(const ask& a) {
    return {window{a.budget() / 4}, key_norm{a.budget() - a.budget() / 4}};
  }
};
/// As knorm.
struct keydiff {
  static constexpr std::string_view name = "keydiff";
  static presets::keydiff authors() { return {window{0}, key_diversity{1024}}; }
  static presets::keydiff of(const ask& a) {
    return {window{a.budget() / 4}, key_diversity{a.budget() - a.budget() / 4}};
  }
};
/// As knorm. A budget of your own goes without covariances, which cost as many multiply-adds a row
/// as attention over head_dim entries.
struct expected_attention {
  static constexpr std::string_view name = "expected-attention";
  static presets::expected_attention authors() {
    return {window{0}, weir::expected_attention{.budget = 1024}};
  }
  static presets::expected_attention of(const ask& a) {
    return {window{a.budget() / 4},
            weir::expected_attention{.budget = a.budget() - a.budget() / 4, .covariance = false}};
  }
};
/// Needs centres: of the model's queries, by a calibration pass. Sinks stand for the authors'
/// pinned prompt, which they do not count; the window of a quarter is ours.
struct triattention {
  static constexpr std::string_view name = "triattention";
  static constexpr bool needs_centres = true;
  static presets::triattention authors(std::shared_ptr<const query_centres> centres = {}) {
    return {sinks{4}, window{0}, trigonometric{2048, std::move(centres)}};
  }
  static presets::triattention of(const ask& a) {
    const std::size_t rest = a.budget() - 4;
    return {sinks{4}, window{rest / 4}, trigonometric{rest - rest / 4, a.centres}};
  }
};
/// Needs labels: of the model's heads, from a trained table (head_labels). `entries` are those of a
/// head that streams; the others keep all.
struct duo_attention {
  static constexpr std::string_view name = "duo-attention";
  static constexpr bool needs_labels = true;
  static presets::duo_attention authors(std::vector<std::uint8_t> labels = {},
                                        std::size_t capacity = 0) {
    return {{sinks{64}, window{256}}, keep_all{capacity}, std::move(labels)};
  }
  static presets::duo_attention of(const ask& a) {
    const std::size_t first = a.budget() / 5;
    return {{sinks{first}, window{a.budget() - first}}, keep_all{a.capacity}, a.labels};
  }
};
/// The size is ours; the authors' best split is not known.
struct kvcrush {
  static constexpr std::string_view name = "kvcrush";
  static presets::kvcrush authors() { return of({.entries = 1024}); }
  /// A quarter of what is not recent are representatives.
  static presets::kvcrush of(const ask& a) {
    const std::size_t rest = a.budget() - a.budget() / 4;
    return {window{a.budget() / 4}, signatures<heavy_hitters>{heavy_hitters{rest}, rest / 4}};
  }
};
/// A block of sinks, a fifth recent, sums by row; the authors' blocks are of 32 tokens, and two are
/// rescued on top of the 672 that stay.
struct kvcrush_blocks {
  static constexpr std::string_view name = "kvcrush-blocks";
  static presets::kvcrush_blocks authors() { return parts(32, 128, 512 + 2 * 32, 2); }
  /// Smaller blocks for a small budget, a quarter of them rescued.
  static presets::kvcrush_blocks of(const ask& a) {
    const std::size_t most = a.budget() - a.budget() / 5,
                      block = std::min<std::size_t>(32, std::bit_floor(most / 5)),
                      blocks = most / block - 1;
    return parts(block, a.budget() - (blocks + 1) * block, blocks * block, blocks / 4);
  }

 private:
  static presets::kvcrush_blocks parts(std::size_t block, std::size_t recent, std::size_t rest,
                                       std::size_t rescued) {
    return {sinks{block}, window{recent},
            block_signatures<heavy_hitters>{{rest, heavy_sum::per_row}, block, rescued}};
  }
};
/// Halves of a fifth of the sequence; the size is ours.
struct d2o {
  static constexpr std::string_view name = "d2o";
  static presets::d2o authors() { return of({.entries = 1024}); }
  static presets::d2o of(const ask& a) {
    const std::size_t rest = a.budget() - 4;
    return {sinks{4}, window{rest / 2},
            variance_budgets<heavy_hitters>{heavy_hitters{rest - rest / 2}}, similarity_merge{}};
  }
};
/// 16 seconds of vision; their tokens, 128 a second, are ours.
struct streaming_vlm {
  static constexpr std::string_view name = "streaming-vlm";
  static presets::streaming_vlm authors() {
    return {token_kinds{kind_window{0, 512, 512}, kind_window{1, 16 * 128}}};
  }
  /// Kind 0 is text, a third of it its first tokens; kind 1 is vision.
  static presets::streaming_vlm of(const ask& a) {
    const std::size_t text = a.budget() - a.budget() / 4;
    return {token_kinds{kind_window{0, text - text / 3, text / 3}, kind_window{1, a.budget() / 4}}};
  }
};
/// 1.2 million entries over 24 layers. A frame's tokens, 1041, are ours.
struct infinite_vggt {
  static constexpr std::string_view name = "infinite-vggt";
  static presets::infinite_vggt authors() {
    return {sinks{1041}, frame_diversity{.budget = 50'000 - 1041, .anchor = 1041}};
  }
  /// A boundary is a frame; the first one stays.
  static presets::infinite_vggt of(const ask& a) {
    const std::size_t anchor = std::min(a.cadence, a.budget() / 4);
    return {sinks{anchor}, frame_diversity{.budget = a.budget() - anchor, .anchor = anchor}};
  }
};
/// One chunk of sinks, the other chunks recent; a chunk is a cadence long. The authors' rows read
/// 21 latent frames, three to a chunk and 1560 tokens each: the sink, five chunks and their own.
struct rolling_forcing {
  static constexpr std::string_view name = "rolling-forcing";
  static presets::rolling_forcing authors() {
    return {sinks{3 * 1560}, rolling_chunks{.chunk = 3 * 1560, .chunks = 5}};
  }
  static presets::rolling_forcing of(const ask& a) {
    const std::size_t chunk = std::min(a.cadence, a.budget() / 4);
    return {sinks{chunk}, rolling_chunks{.chunk = chunk, .chunks = a.budget() / chunk - 1}};
  }
};
struct motion_stream {
  static constexpr std::string_view name = "motion-stream";
  static presets::motion_stream authors() {
    return {sinks{3 * 1560}, rolling_chunks{.chunk = 3 * 1560, .chunks = 1}};
  }
  static presets::motion_stream of(const ask& a) {
    const std::size_t chunk = a.budget() / 2;
    return {sinks{chunk}, rolling_chunks{.chunk = chunk, .chunks = 1}};
  }
};
/// The authors' rows read six chunks of a frame: three sinks, two recent ones and their own.
struct stream_diffusion_v2 {
  static constexpr std::string_view name = "stream-diffusion-v2";
  static presets::stream_diffusion_v2 authors() {
    return {adaptive_sinks{.chunk = 1560, .chunks = 3}, rolling_chunks{.chunk = 1560, .chunks = 2}};
  }
  static presets::stream_diffusion_v2 of(const ask& a) {
    const std::size_t chunk = std::min(a.cadence, a.budget() / 4), all = a.budget() / chunk;
    return {adaptive_sinks{.chunk = chunk, .chunks = all / 2},
            rolling_chunks{.chunk = chunk, .chunks = all - all / 2}};
  }
};
/// Scores without pooling; the share that goes first is not known, and is none.
struct livevlm {
  static constexpr std::string_view name = "livevlm";
  static presets::livevlm authors() { return of({.entries = 12'000}); }
  static presets::livevlm of(const ask& a) {
    auto [recent, votes] = snapkv::of(a).policies;
    votes.pool_radius = 0;
    return {recent, buckets<observation_window>{votes}};
  }
};
struct random {
  static constexpr std::string_view name = "random";
  static presets::random authors() { return of({.entries = 1024}); }
  static presets::random of(const ask& a) {
    const std::size_t rest = a.budget() - 4;
    return {sinks{4}, window{rest / 2}, random_tokens{rest - rest / 2}};
  }
};

/// Every preset whose budget is a number of entries, in the order in which tools list them.
using all = std::tuple<streaming_llm, accllm, meshtron, h2o, h2o_per_row, keyformer, sirllm, tova,
                       snapkv, pyramidkv, ada_kv, expected_attention, knorm, keydiff, kvcrush,
                       kvcrush_blocks, d2o, streaming_vlm, infinite_vggt, rolling_forcing,
                       motion_stream, stream_diffusion_v2, livevlm, random>;

/// Those that also need query centres.
using calibrated = std::tuple<triattention>;

/// Those that also need head labels.
using labelled = std::tuple<duo_attention>;

/// True for recipes that need query centres.
template <class Recipe>
inline constexpr bool needs_centres = false;
template <class Recipe>
  requires requires { Recipe::needs_centres; }
inline constexpr bool needs_centres<Recipe> = Recipe::needs_centres;

/// True for recipes that need head labels.
template <class Recipe>
inline constexpr bool needs_labels = false;
template <class Recipe>
  requires requires { Recipe::needs_labels; }
inline constexpr bool needs_labels<Recipe> = Recipe::needs_labels;

/// The policy that a recipe makes.
template <class Recipe>
using keep_of = decltype(Recipe::authors());

}  // namespace recipes

}  // namespace weir::inline WEIR_TARGET::presets
