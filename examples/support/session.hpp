// Streams whose policies are named at run time: what the tools see of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/function_ref.hpp>
#include <weir/core/token.hpp>
#include <weir/model/load_model.hpp>
#include <weir/speculation/counters.hpp>
#include <weir/stream/stream_decoder.hpp>
#include <weir/stream/token_stream.hpp>

namespace tool {

/// A cache, by the names of its policies.
struct cache_choice {
  std::string policy = "sinks-window";  ///< full, window, sinks-window or a preset's name
  std::size_t sinks = 4;                ///< read by sinks-window
  std::size_t window = 252;             ///< read by window and sinks-window
  std::size_t budget = 256;             ///< read by presets: the most entries that any row reads
  std::size_t cadence = 32;             ///< read by presets that decide at boundaries
  std::string calibration;              ///< file of query centres, for presets that need one
  std::string head_table;               ///< file of trained numbers, for presets that label heads
  double sparsity = .5;                 ///< share of heads that stream, of those presets
  std::string positions;                ///< original or within-cache; empty: the policy's default
  std::string codec = "f16";            ///< f32, f16, bf16, int8 or int4
  std::size_t rows = 0;                 ///< tokens to be fed in all; read where all are kept
};

/// How a stream drafts, by the names of drafter and verifier.
struct speculation_choice {
  std::string drafter = "prompt-lookup";     ///< see drafter_names
  std::string verifier = "match";            ///< match, rejection or typical-lossy
  std::size_t drafts = 6;                    ///< in a round, at most
  std::size_t depth = 6;                     ///< of them on a path, for trees
  std::size_t width = 4;                     ///< of them beside each other, for trees
  double threshold = 0;                      ///< see weir::dynamic_tree
  std::size_t layers = 1;                    ///< of the target, for early-exit
  const weir::llama_model* draft = nullptr;  ///< for drafters that ask a model
  bool adaptive = false;                     ///< as many drafts as have paid lately
};
std::vector<std::string> drafter_names();
/// True if the drafter asks a model of its own.
bool asks_model(std::string_view drafter);

/// What is known of a preset before a cache is made.
struct preset_facts {
  std::string_view name;
  bool positional;     ///< looks only at positions: no boundaries
  bool original_only;  ///< cannot be renumbered within the cache
  bool renumbered;     ///< is, unless something else was asked for
  bool calibrated;     ///< needs query centres
  bool labelled;       ///< needs a head table; some heads keep all, `budget` is for the others
  bool uneven;         ///< budgets differ between layers or heads; `budget` is their mean
};
/// In the order in which they are listed.
std::span<const preset_facts> presets();
/// Null if `policy` is no preset's name.
const preset_facts* find_preset(std::string_view policy);
/// Every name that cache_choice.policy may have.
std::vector<std::string> policy_names();
/// The positions that a choice comes to.
std::string_view positions_of(const cache_choice& choice);

/// What every session can tell.
class session {
 public:
  virtual ~session() = default;
  /// Tokens fed so far.
  virtual std::uint64_t length() const = 0;
  /// Bytes that the cache holds, from the first token on.
  virtual std::size_t cache_bytes() const = 0;
  /// Most entries that any row reads.
  virtual std::size_t max_entries() const = 0;
  /// (token, layer, KV head) entries that no row will read again.
  virtual std::uint64_t evicted_entries() const = 0;
  /// Numbers of keys and values that were cut to the largest that the codec holds.
  virtual std::uint64_t cut_numbers() const = 0;
  /// Stream indices of the tokens that a (layer, KV head) holds, rising.
  virtual std::vector<std::uint64_t> live(std::size_t layer, std::size_t head) const = 0;
};

/// Makes text.
class generator : public session {
 public:
  using shown = weir::function_ref<bool(const weir::token_event&)>;
  virtual weir::finish_reason generate(std::span<const weir::token_id> prompt, shown show,
                                       weir::generate_options options) = 0;
  /// What was held back in case it began a stop string: see text_decoder.
  virtual std::string_view held_text() = 0;
  /// Forgets the stream.
  virtual void reset() = 0;
  /// What was drafted, and came of it.
  virtual const weir::speculation_counters& counters() const = 0;
};

/// Rates given text.
class scorer : public session {
 public:
  using scored = weir::function_ref<void(double)>;
  /// Feeds all tokens but the last, and calls `show` with the natural-log probability of each
  /// token but the first, in order. May be called again, from the last token on.
  virtual void score(std::span<const weir::token_id> tokens, scored show) = 0;
};

/// The rows to be fed, if the policy takes so many. Throws error::bad_input if some head keeps
/// everything and they exceed the model's context. `no_end`: for ever.
inline constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();
std::size_t require_context(const cache_choice& choice, std::uint64_t rows,
                            const weir::llama_model& model);

/// Throws weir::error::bad_config on a preset with a budget, codec or positions that it is not
/// offered with.
void require_offered(const cache_choice& choice);

/// Throw weir::error::base on choices that are refused. The model must outlive the session.
std::unique_ptr<generator> make_generator(const weir::llama_model& model,
                                          const cache_choice& choice,
                                          weir::decoder_options options);
std::unique_ptr<generator> make_speculator(const weir::llama_model& model,
                                           const cache_choice& choice,
                                           weir::decoder_options options,
                                           const speculation_choice& speculation);
std::unique_ptr<scorer> make_scorer(const weir::llama_model& model, const cache_choice& choice,
                                    weir::stream_options options);

}  // namespace tool
