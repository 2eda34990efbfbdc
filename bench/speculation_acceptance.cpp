// How many tokens a pass of the target gives, by the shape of what a draft model drafts, at equal
// numbers of drafts: a chain, a fixed tree chosen by measured acceptance, and trees that grow.
//
//   speculation_acceptance TARGET DRAFT TEXT [PROMPTS] [TOKENS]
//
// Prompts are cut from TEXT. Prints tables with standard errors over prompts.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include "speculation/decoded.hpp"
#include "support/timing.hpp"

namespace {

using namespace weir;
using weir_bench::mean_error;
using weir_test::draft_cache;
using target_cache = kv_cache<f16, keep<sinks, window>, positions::within_cache>;

struct scene {
  const llama_model &target, &draft;
  std::vector<std::vector<token_id>> prompts;
  std::size_t tokens;
  sampling sample;
};

const keep<sinks, window> kept{sinks{4}, window{252}};

/// Tokens a pass, of each prompt.
template <class Speculation>
std::vector<double> tokens_a_pass(const scene& s, const Speculation& speculation) {
  std::vector<double> rates;
  stream_batch<target_cache, Speculation> batch(
      s.target, kept, {.sample = s.sample, .stream = {.chunk = 64, .threads = 1}}, speculation);
  for (std::size_t i = 0; i < s.prompts.size(); ++i) {
    batch.start(0, s.prompts[i], {.max_tokens = s.tokens, .seed = 5, .stream_key = i});
    while (batch.step([](std::size_t, const emitted_token&) { return true; })) {
    }
    rates.push_back(static_cast<double>(s.tokens) /
                    static_cast<double>(batch.stream(0).counters().rounds));
  }
  return rates;
}

/// The same of a drafter that learns, once it has learned.
template <class Speculation>
std::vector<double> learned(const scene& before, const scene& s, Speculation speculation) {
  speculation.drafter.chances = std::make_shared<acceptance_table>();
  tokens_a_pass(before, speculation);
  return tokens_a_pass(s, speculation);
}

/// How often what the target says is the draft model's choice of rank 0, 1, …, behind prompts that
/// are not those measured.
std::vector<double> measure_ranks(const scene& s, std::size_t ranks) {
  std::vector<double> hits(ranks);
  double all = 0;
  stream_batch<target_cache> batch(s.target, kept,
                                   {.sample = s.sample, .stream = {.chunk = 64, .threads = 1}});
  token_stream<draft_cache> draft(s.draft, {sinks{4}, window{124}}, {.threads = 1});
  std::vector<float> logits(s.draft.config.vocab_size);
  std::vector<token_id> best(ranks);
  for (std::size_t i = 0; i < s.prompts.size(); ++i) {
    std::vector<token_id> ids = s.prompts[i];
    batch.start(0, ids, {.max_tokens = s.tokens, .seed = 6, .stream_key = i});
    while (batch.step([&](std::size_t, const emitted_token& t) {
      ids.push_back(t.id);
      return true;
    })) {
    }
    draft.reset();
    const std::size_t first = s.prompts[i].size();
    draft.feed(std::span(ids).first(ids.size() - 1), [&](std::size_t from, std::size_t rows) {
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t next = from + r + 1;
        if (next < first) continue;
        draft.row_logits(r, 1, logits.data());
        top_tokens(logits, best);
        for (std::size_t k = 0; k < ranks; ++k) hits[k] += best[k] == ids[next];
        all += 1;
      }
    });
  }
  for (double& h : hits) h /= all;
  return hits;
}

/// `s.prompts` are measured, `others` are what fixed trees are chosen by and grown ones learned.
template <class Chain, class Fixed, class Grown>
void table(const char* title, scene s, const std::vector<std::vector<token_id>>& others,
           Chain chain, Fixed fixed, Grown grown) {
  scene before = s;
  before.prompts = others;
  const auto ranks = measure_ranks(before, 8);
  std::printf("## %s\n\nThe target says the draft model's best token %.3f of the time, then", title,
              ranks[0]);
  for (std::size_t k = 1; k < 6; ++k) std::printf(" %.3f", ranks[k]);
  std::printf(
      ".\n\n| drafts | chain | fixed tree | grown tree | grown, depth by depth | grown − chain | "
      "grown − fixed |\n|---|---|---|---|---|---|---|\n");
  for (const std::size_t nodes : {2u, 4u, 8u, 12u, 16u}) {
    const std::vector<std::vector<double>> accepted(8, ranks);
    const tree_shape shape = best_tree(accepted, nodes);
    const auto a = tokens_a_pass(s, chain(nodes)), b = tokens_a_pass(s, fixed(shape)),
               c = learned(before, s, grown(nodes, 0.0)),
               d = learned(before, s, grown(nodes, 1.0 / static_cast<double>(nodes)));
    std::vector<double> beside_chain, beside_fixed;
    for (std::size_t i = 0; i < c.size(); ++i) {
      beside_chain.push_back(c[i] - a[i]);
      beside_fixed.push_back(c[i] - b[i]);
    }
    std::printf("| %zu |", nodes);
    for (const auto* x : {&a, &b, &c, &d}) {
      const mean_error m(*x);
      std::printf(" %.3f ± %.3f |", m.mean, m.error);
    }
    for (const auto* x : {&beside_chain, &beside_fixed}) {
      const mean_error m(*x);
      std::printf(" %+.3f ± %.3f |", m.mean, m.error);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4)
    return std::fputs("usage: speculation_acceptance TARGET DRAFT TEXT [PROMPTS] [TOKENS]\n",
                      stderr),
           2;
  const llama_model target = load_model(argv[1]), draft = load_model(argv[2]);
  std::ifstream in(argv[3], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t count = argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 64;
  const std::size_t tokens = argc > 5 ? std::strtoul(argv[5], nullptr, 10) : 128;
  std::vector<std::vector<token_id>> prompts, others;
  for (std::size_t i = 0; i < count; ++i) {
    prompts.push_back(weir_test::prompt_from(target, text, i));
    others.push_back(weir_test::prompt_from(target, text, 1000 + i));
  }
  const draft_source<token_stream<draft_cache>> source{
      .model = &draft, .keep = {sinks{4}, window{124}}, .stream = {.chunk = 64, .threads = 1}};

  const auto matched = [&](const char* title, const sampling& sample) {
    table(
        title, {target, draft, prompts, tokens, sample}, others,
        [&](std::size_t n) {
          return speculate<draft_model<draft_cache>>{{.source = source, .tokens = n}};
        },
        [&](const tree_shape& shape) {
          return speculate<static_tree<draft_cache>>{{.source = source, .shape = shape}};
        },
        [&](std::size_t n, double threshold) {
          return speculate<dynamic_tree<draft_cache>>{
              {.source = source, .nodes = n, .depth = n, .width = n, .threshold = threshold}};
        });
  };
  matched("Greedy, by sample_and_match", {.temperature = 0});
  matched("Temperature 0.8, top-p 0.95, by sample_and_match with Gumbel noise",
          {.temperature = 0.8f, .top_p = 0.95f, .draw = draw_rule::gumbel});
  {
    constexpr auto drawn = sibling_kind::without_replacement;
    table(
        "Temperature 0.8, top-p 0.95, by rejection_sampling",
        {target, draft, prompts, tokens, {.temperature = 0.8f, .top_p = 0.95f}}, others,
        [&](std::size_t n) {
          return speculate<draft_model<draft_cache, drawn>, rejection_sampling>{
              {.source = source, .tokens = n}};
        },
        [&](const tree_shape& shape) {
          return speculate<static_tree<draft_cache>, rejection_sampling>{
              {.source = source, .shape = shape}};
        },
        [&](std::size_t n, double threshold) {
          return speculate<dynamic_tree<draft_cache, drawn>, rejection_sampling>{
              {.source = source, .nodes = n, .depth = n, .width = n, .threshold = threshold}};
        });
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "speculation_acceptance: %s\n", e.what());
  return 1;
}
