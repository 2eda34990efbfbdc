// What drafting brings where weights are read from memory: a 1.1B model of random weights (Q8_0),
// with and without a chain of drafts of which a known part is right.
//
//   speculation_speed [TOKENS] [RUNS]
//
// The drafts come from an oracle that knows what the model will say, and says something else at
// random as often as asked. Prints a table: medians of RUNS runs in turns.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include <weir/weir.hpp>
#include "support/synthetic_model.hpp"
#include "support/timing.hpp"

namespace {

using namespace weir;
using weir_bench::median;
using cache = kv_cache<f16, keep<sinks, window>, positions::within_cache>;
using ids = std::vector<token_id>;

/// Drafts what it was told would come.
struct oracle {
  std::shared_ptr<const ids> truth;  ///< [stream index]
  double acceptance = 1;             ///< the chance that a draft is right, if those before it were
  std::size_t tokens = 4;

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  class state {
   public:
    state(const oracle& settings, const draft_setup& setup)
        : truth_(settings.truth),
          acceptance_(settings.acceptance),
          vocabulary_(static_cast<token_id>(setup.vocabulary)) {}
    static std::size_t required_bytes(const oracle&, const draft_setup&) { return 0; }
    void append(std::span<const token_id>) {}
    void propose(const draft_request& request, draft_tree& tree) {
      for (draft_tree::node at = 0; tree.has_room(at);) {
        const std::uint64_t index = request.index + 1 + tree.depth(at);
        token_id token = index < truth_->size() ? (*truth_)[index] : 0;
        if (request.random.uniform(purpose::drafting, request.round,
                                   static_cast<std::uint32_t>(at)) >= acceptance_)
          token = (token + 1) % vocabulary_;
        at = tree.add(token, at);
      }
    }
    void reset() {}

   private:
    std::shared_ptr<const ids> truth_;
    double acceptance_;
    token_id vocabulary_;
  };
};

struct timed {
  ids said;
  double seconds = 0;
  speculation_counters counters;
};

/// Generates behind a prompt; the time from the first token on.
template <class Batch>
timed run(Batch& batch, std::span<const token_id> prompt, std::size_t tokens) {
  using clock = std::chrono::steady_clock;
  timed t;
  clock::time_point first;
  batch.start(0, prompt, {.max_tokens = tokens});
  while (batch.step([&](std::size_t, const emitted_token& token) {
    if (t.said.empty()) first = clock::now();
    t.said.push_back(token.id);
    return true;
  })) {
  }
  t.seconds = std::chrono::duration<double>(clock::now() - first).count();
  t.counters = batch.stream(0).counters();
  return t;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t tokens = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 96;
  const std::size_t runs = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 5;
  const llama_model model = weir_bench::synthetic_model(weight_type::q8_0);
  const keep<sinks, window> kept{sinks{4}, window{508}};
  const batch_options options{.sample = {.temperature = 0}};
  ids prompt;
  for (token_id i = 0; i < 32; ++i) prompt.push_back(1 + 37 * i);

  stream_batch<cache> plain(model, kept, options);
  auto truth = std::make_shared<ids>(prompt);
  for (const token_id id : run(plain, prompt, tokens).said) truth->push_back(id);

  std::printf(
      "| acceptance | drafts | tokens a pass | expected | passes cost | times as fast as plain |\n"
      "|---|---|---|---|---|---|\n");
  bool same = true;
  for (const auto& [acceptance, drafts] :
       {std::pair{0.8, 4u}, {0.8, 2u}, {0.8, 7u}, {0.6, 4u}, {1.0, 4u}, {1.0, 7u}}) {
    using speculation = speculate<oracle>;
    stream_batch<cache, speculation> drafting(model, kept, options,
                                              speculation{{truth, acceptance, drafts}});
    std::vector<double> ratios, costs;
    timed last;
    for (std::size_t r = 0; r < runs; ++r) {
      const timed a = run(plain, prompt, tokens);
      last = run(drafting, prompt, tokens);
      same = same && a.said == last.said;
      ratios.push_back(a.seconds / last.seconds);
      // A pass of drafts over one of plain decoding.
      costs.push_back(last.seconds / static_cast<double>(last.counters.rounds - 1) /
                      (a.seconds / static_cast<double>(tokens - 1)));
    }
    const double expected =
        acceptance < 1 ? (1 - std::pow(acceptance, drafts + 1)) / (1 - acceptance) : drafts + 1;
    std::printf("| %.1f | %u | %.2f | %.2f | %.2f× | %.2f× |\n", acceptance, drafts,
                static_cast<double>(tokens) / static_cast<double>(last.counters.rounds), expected,
                median(costs), median(ratios));
    std::fflush(stdout);
  }
  std::printf("\nThe tokens were %s.\n", same ? "the same every time" : "OTHERS");
  return same ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "speculation_speed: %s\n", e.what());
  return 1;
}
