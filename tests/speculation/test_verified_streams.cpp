// Streams of a small model, with drafts and a verifier: their tokens follow the distribution that
// plain decoding draws from, worked out token by token.
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/typical_acceptance_lossy.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/weir.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

#include "speculation/verifier_targets.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/random_weights.hpp"

namespace {

using namespace weir;
using weir_test::chi_square;
using weir_test::tokens;

using cache = kv_cache<f32, keep<sinks, window>, positions::within_cache>;
using draft_source_type = draft_source<token_stream<cache>>;
const keep<sinks, window> kept{sinks{2}, window{20}};
const stream_options small{.chunk = 8, .threads = 1};
const tokens prompt = {1,   100, 70,  100, 9,   88, 200, 31,  70,
                       100, 250, 140, 77,  300, 5,  18,  222, 100};

/// What plain decoding draws from behind the prompt and `said`.
std::vector<token_probability> distribution_behind(const llama_model& model, const sampling& how,
                                                   const tokens& said) {
  token_stream<cache> stream(model, kept, small);
  sampler s(how, model.config.vocab_size);
  for (const tokens& part : {prompt, said}) {
    if (part.empty()) continue;
    stream.feed(part);
    for (const token_id t : part) s.push(t);
  }
  const auto distribution = s.distribution(stream.logits());
  return {distribution.begin(), distribution.end()};
}

constexpr std::size_t length = 3;
using sequence_type = std::array<token_id, length>;

/// Every sequence that there can be, with its probability.
struct expectation {
  std::vector<sequence_type> sequences;
  std::vector<double> probability;

  expectation(const llama_model& model, const sampling& how) { add(model, how, {}, 1); }

 private:
  void add(const llama_model& model, const sampling& how, tokens said, double p) {
    if (said.size() == length) {
      sequences.push_back({});
      std::copy(said.begin(), said.end(), sequences.back().begin());
      probability.push_back(p);
      return;
    }
    for (const token_probability& t : distribution_behind(model, how, said)) {
      said.push_back(t.token);
      add(model, how, said, p * t.probability);
      said.pop_back();
    }
  }
};

/// A mask that nobody trained.
struct any_masks {
  std::vector<float> values;
  std::size_t masks() const { return 1; }
  std::span<const float> embeddings() const { return values; }
};

struct result {
  chi_square sequences;
  double accepted = 0;  // of the drafts, the part
};

template <class Speculation>
result decode(const llama_model& model, const sampling& how, const expectation& expected,
              std::size_t streams, const Speculation& speculation) {
  constexpr std::size_t at_once = 8;
  stream_batch<cache, Speculation> batch(
      model, kept, {.streams = at_once, .sample = how, .stream = small}, speculation);
  std::vector<std::size_t> count(expected.sequences.size());
  std::array<tokens, at_once> said;
  std::uint64_t proposed = 0, accepted = 0;
  for (std::size_t first = 0; first < streams; first += at_once) {
    for (std::size_t i = 0; i < at_once; ++i) {
      said[i].clear();
      batch.start(i, prompt, {.max_tokens = length + 3, .seed = 77, .stream_key = first + i});
    }
    while (batch.step([&](std::size_t i, const emitted_token& t) {
      said[i].push_back(t.id);
      return true;
    })) {
    }
    for (std::size_t i = 0; i < at_once; ++i) {
      sequence_type s;
      std::copy_n(said[i].begin(), length, s.begin());
      const auto at = std::find(expected.sequences.begin(), expected.sequences.end(), s);
      REQUIRE(at != expected.sequences.end());
      ++count[static_cast<std::size_t>(at - expected.sequences.begin())];
      proposed += batch.stream(i).counters().proposed;
      accepted += batch.stream(i).counters().accepted;
    }
  }
  result r;
  r.sequences.add(expected.probability, count);
  r.accepted =
      static_cast<double>(accepted) / static_cast<double>(std::max<std::uint64_t>(proposed, 1));
  return r;
}

}  // namespace

TEST_CASE("streams with drafts follow the distribution of streams without") {
  // The draft model is the target, but forgets.
  const llama_model model(gguf_file(weir_test::tiny_llama().build()));
  const draft_source_type source{.model = &model, .keep = {sinks{2}, window{14}}, .stream = small};
  for (const float penalty : {1.0f, 1.3f}) {
    const sampling how{.temperature = 1.5f, .top_k = 4, .repetition_penalty = penalty};
    const expectation expected(model, how);
    const auto check = [&](std::string_view name, const auto& speculation, double least,
                           bool lossless = true) {
      const result r = decode(model, how, expected, 1600, speculation);
      INFO(name << ", penalty " << penalty << ": " << r.sequences.value << ", "
                << r.sequences.degrees << " degrees of freedom; accepted " << r.accepted);
      CHECK(r.sequences.rejects() != lossless);
      CHECK(r.accepted > least);
    };
    using drawn_chain = draft_model<cache, sibling_kind::independent>;
    using best_chain = draft_model<cache, sibling_kind::point_mass>;
    using best_tree = dynamic_tree<cache, sibling_kind::point_mass>;
    using drawn_tree = dynamic_tree<cache, sibling_kind::without_replacement>;
    const sampling wide{.temperature = 1.5f, .top_k = 8};
    check("chain, drawn",
          speculate<drawn_chain, rejection_sampling>{{.source = source, .tokens = 3}}, .3);
    check("chain, the most probable",
          speculate<best_chain, rejection_sampling>{{.source = source, .tokens = 3}}, .05);
    check("tree, drawn",
          speculate<drawn_tree, rejection_sampling>{
              {.source = source, .nodes = 6, .depth = 3, .distribution = wide}},
          .1);
    check("tree, the most probable",
          speculate<best_tree, rejection_sampling>{
              {.source = source, .nodes = 6, .depth = 3, .distribution = wide}},
          .08);
    const any_masks one{weir_test::random_floats(model.config.embedding_length, 5)};
    const std::vector<std::vector<double>> ranks{std::vector(8, .1)};
    const mask_plan plan{{{{}, {1}}, {weir::best_tree(ranks, 8), std::vector<std::size_t>(9, 1)}}};
    check("masks", speculate<mask_tokens<any_masks>, rejection_sampling>{{&one, plan}}, 0);
    check("lookup", speculate<prompt_lookup, rejection_sampling>{{.tokens = 3}}, 0);
    check("lossy",
          speculate<drawn_chain, typical_acceptance_lossy>{{.source = source, .tokens = 3}}, .3,
          false);
  }
}

TEST_CASE("at temperature 0 every verifier decodes what plain decoding does") {
  const llama_model model(gguf_file(weir_test::tiny_llama().build()));
  const draft_source_type source{.model = &model, .keep = {sinks{2}, window{14}}, .stream = small};
  const auto tokens_of = [&](const auto& speculation) {
    stream_batch<cache, std::remove_cvref_t<decltype(speculation)>> batch(
        model, kept,
        {.streams = 1, .sample = {.temperature = 0, .repetition_penalty = 1.2f}, .stream = small},
        speculation);
    tokens said;
    batch.start(0, prompt, {.max_tokens = 300});
    while (batch.step([&](std::size_t, const emitted_token& t) {
      said.push_back(t.id);
      return true;
    })) {
    }
    CHECK(said.size() == 300);
    if (batch.stream(0).counters().proposed > 0) CHECK(batch.stream(0).counters().accepted > 30);
    return said;
  };
  const tokens plain = tokens_of(no_speculation{});
  using chain = draft_model<cache, sibling_kind::independent>;
  using tree = dynamic_tree<cache, sibling_kind::without_replacement>;
  using best_tree = dynamic_tree<cache, sibling_kind::point_mass>;
  CHECK(tokens_of(speculate<chain, rejection_sampling>{{.source = source}}) == plain);
  CHECK(tokens_of(speculate<tree, rejection_sampling>{{.source = source}}) == plain);
  CHECK(tokens_of(speculate<best_tree, rejection_sampling>{{.source = source}}) == plain);
  CHECK(tokens_of(speculate<best_tree, typical_acceptance_lossy>{{.source = source}}) == plain);
}
