#include <weir/model/llama.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <weir/core/thread_pool.hpp>
#include <weir/model/load_model.hpp>
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/gguf_builder.hpp"
#include "support/naive_attention.hpp"
#include "support/random_weights.hpp"
#include "support/shared.hpp"

using weir::ggml_type;
using weir::token_id;
using weir_test::naive_attention;

namespace {

weir::llama_model tiny(ggml_type type, bool tied = true) {
  weir_test::tiny_llama_options o;
  const bool wide = weir::layout_of(type)->elements == 256;
  o.embedding_length = wide ? 256 : 96;
  o.feed_forward_length = wide ? 512 : 160;
  o.head_count = wide ? 4 : 6;
  o.head_count_kv = 2;
  o.type = type;
  o.tied = tied;
  return weir::llama_model(weir::gguf_file(weir_test::tiny_llama(o).build()));
}

constexpr ggml_type all_types[] = {ggml_type::float32, ggml_type::float16, ggml_type::bfloat16,
                                   ggml_type::q8_0,    ggml_type::q4_0,    ggml_type::q4_1,
                                   ggml_type::q5_0,    ggml_type::q5_1,    ggml_type::q4_k,
                                   ggml_type::q5_k,    ggml_type::q6_k};

/// The forward pass written to be read, in float64: logits of every token, [token, vocab].
class reference_pass {
 public:
  explicit reference_pass(const weir::llama_model& model)
      : c_(model.config), w_(model.weights), attention_(model.config) {}

  std::vector<double> logits(token_id token) {
    std::vector<double> x(c_.embedding_length);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = weir_test::weight_at(w_.token_embedding, static_cast<std::size_t>(token), i);
    for (std::size_t layer = 0; layer < c_.block_count; ++layer) {
      const auto& w = w_.layers[layer];
      const auto normed = norm(x, w.attn_norm);
      const auto q = times(w.q, normed), k = times(w.k, normed), v = times(w.v, normed);
      std::vector<double> attended(q.size());
      attention_.attend(layer, 1, q.data(), k.data(), v.data(), attended.data());
      add(x, times(w.o, attended));
      const auto inner = norm(x, w.ffn_norm);
      auto gate = times(w.gate, inner);
      const auto up = times(w.up, inner);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
      add(x, times(w.down, gate));
    }
    return times(w_.output, norm(x, w_.output_norm));
  }

 private:
  std::vector<double> norm(const std::vector<double>& x, std::span<const float> weight) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double size = std::sqrt(squares / static_cast<double>(x.size()) + c_.rms_epsilon);
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] / size * weight[i];
    return y;
  }
  static std::vector<double> times(const weir::matrix_view& w, const std::vector<double>& x) {
    std::vector<double> y(w.rows);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < w.cols; ++i) y[r] += weir_test::weight_at(w, r, i) * x[i];
    return y;
  }
  static void add(std::vector<double>& x, const std::vector<double>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  const weir::llama_config& c_;
  const weir::llama_weights& w_;
  naive_attention attention_;
};

/// Logits of every token, [token, vocab], with the tokens fed in the chunks given.
std::vector<float> all_logits(const weir::llama_model& model, const std::vector<token_id>& tokens,
                              std::size_t chunk, weir::executor& threads) {
  weir::llama_pass pass(model.config, model.weights, chunk);
  naive_attention attention(model.config);
  const std::size_t vocab = model.config.vocab_size;
  std::vector<float> logits(tokens.size() * vocab);
  for (std::size_t first = 0; first < tokens.size(); first += chunk) {
    const std::size_t rows = std::min(chunk, tokens.size() - first);
    pass.forward(
        std::span(tokens).subspan(first, rows),
        [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
          attention.attend(layer, rows, q, k, v, out);
        },
        threads);
    pass.logits(0, rows, &logits[first * vocab], threads);
  }
  return logits;
}

std::vector<token_id> some_tokens(std::size_t n) {
  std::vector<token_id> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = static_cast<token_id>((i * 37 + 5) % 300);
  return tokens;
}

const auto nothing = [](std::size_t, const float*, const float*, const float*, float*) {};

}  // namespace

TEST_CASE("the forward pass gives what float64 gives, for every type of weight") {
  weir::executor one;
  const auto tokens = some_tokens(12);
  for (const ggml_type type : all_types)
    for (const bool tied : {true, false}) {
      const auto model = tiny(type, tied);
      const auto logits = all_logits(model, tokens, 5, one);
      reference_pass reference(model);
      const double bound = weir::is_quantized(model.weights.output.type) ? 0.1 : 1e-4;
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        const auto expected = reference.logits(tokens[t]);
        for (std::size_t i = 0; i < expected.size(); ++i)
          REQUIRE(std::fabs(logits[t * expected.size() + i] - expected[i]) < bound);
      }
    }
}

TEST_CASE("logits have the same bits for every chunk size and number of threads") {
  weir::executor one;
  const auto tokens = some_tokens(23);
  for (const ggml_type type : all_types) {
    const auto model = tiny(type);
    const auto expected = all_logits(model, tokens, 1, one);
    for (const std::size_t chunk : {2u, 3u, 8u, 13u, 23u})
      REQUIRE(weir_test::same_bits(all_logits(model, tokens, chunk, one), expected));
    for (const unsigned width : {2u, 3u}) {
      weir::thread_pool threads(width);
      REQUIRE(weir_test::same_bits(all_logits(model, tokens, 23, threads), expected));
    }
  }
}

TEST_CASE("logits of some rows are those rows of all logits") {
  weir::executor one;
  const auto model = tiny(ggml_type::q8_0);
  const auto tokens = some_tokens(9);
  const std::size_t vocab = model.config.vocab_size;
  weir::llama_pass pass(model.config, model.weights, 9);
  naive_attention attention(model.config);
  pass.forward(
      tokens,
      [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
        attention.attend(layer, 9, q, k, v, out);
      },
      one);
  CHECK(pass.hidden().size() == 9 * model.config.embedding_length);
  std::vector<float> all(9 * vocab), some(3 * vocab);
  pass.logits(0, 9, all.data(), one);
  pass.logits(4, 3, some.data(), one);
  const std::vector<float> expected(all.begin() + static_cast<std::ptrdiff_t>(4 * vocab),
                                    all.begin() + static_cast<std::ptrdiff_t>(7 * vocab));
  CHECK(weir_test::same_bits(some, expected));
  pass.logits(9, 0, nullptr, one);
}

TEST_CASE("a repacked model gives the same bits, and takes what it announced") {
  weir::executor one;
  const auto tokens = some_tokens(5);
  for (const ggml_type type : all_types) {
    const auto logits_of = [&](const weir::llama_model& model) {
      weir::llama_pass pass(model.config, model.weights, 5);
      naive_attention attention(model.config);
      pass.forward(
          tokens,
          [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
            attention.attend(layer, 5, q, k, v, out);
          },
          one);
      std::vector<float> logits(5 * model.config.vocab_size);
      pass.logits(0, 5, logits.data(), one);
      return logits;
    };
    for (const bool tied : {false, true}) {
      auto model = tiny(type, tied);
      const auto expected = logits_of(model);
      const bool can = weir::can_repack(model.weights.layers[0].q.type);
      const std::size_t bytes = model.repack_bytes();
      CHECK((bytes > 0) == can);
      for (int times = 0; times < 2; ++times) {  // the second time, nothing happens
        model.repack(2);
        CHECK(model.panels.bytes() == bytes);
        CHECK(model.weights.layers[1].down.in_panels == can);
        CHECK_FALSE(model.weights.token_embedding.in_panels);
        CHECK(weir_test::same_bits(logits_of(model), expected));
      }
    }
  }
}

TEST_CASE("layers are attended once each, in rising order") {
  weir::executor one;
  const auto model = tiny(ggml_type::float32);
  weir::llama_pass pass(model.config, model.weights, 2);
  std::vector<std::size_t> layers;
  pass.forward(
      some_tokens(2),
      [&](std::size_t layer, const float*, const float*, const float*, float*) {
        layers.push_back(layer);
      },
      one);
  CHECK(layers == std::vector<std::size_t>{0, 1});
}

TEST_CASE("a pass holds what it announced and allocates nothing while it runs") {
  weir::executor one;
  for (const ggml_type type : {ggml_type::float32, ggml_type::q8_0}) {
    const auto model = tiny(type);
    weir::llama_pass pass(model.config, model.weights, 4);
    CHECK(pass.bytes() == weir::llama_pass::required_bytes(model.config, model.weights, 4));
    const auto tokens = some_tokens(4);
    std::vector<float> logits(4 * model.config.vocab_size);
    const std::size_t before = weir_test::allocation_count();
    pass.forward(tokens, nothing, one);
    pass.logits(0, 4, logits.data(), one);
    const std::size_t after = weir_test::allocation_count();
    CHECK(after == before);
  }
}

TEST_CASE("calls that cannot be met are refused before anything changes") {
  weir::executor one;
  const auto model = tiny(ggml_type::float32);
  CHECK_THROWS_AS(weir::llama_pass(model.config, model.weights, 0), weir::error::bad_config);
  weir::llama_pass pass(model.config, model.weights, 3);
  std::vector<float> logits(4 * model.config.vocab_size);
  CHECK_THROWS_AS(pass.logits(0, 1, logits.data(), one), weir::error::bad_input);
  pass.forward(some_tokens(2), nothing, one);
  const token_id vocab = static_cast<token_id>(model.config.vocab_size);
  CHECK_THROWS_AS(pass.forward(some_tokens(4), nothing, one), weir::error::bad_input);
  CHECK_THROWS_AS(pass.forward(std::vector<token_id>{0, -1}, nothing, one), weir::error::bad_input);
  CHECK_THROWS_AS(pass.forward(std::vector<token_id>{vocab}, nothing, one), weir::error::bad_input);
  CHECK(pass.rows() == 2);
  CHECK_THROWS_AS(pass.logits(1, 2, logits.data(), one), weir::error::bad_input);
  CHECK_THROWS_AS(pass.logits(static_cast<std::size_t>(-1), 2, logits.data(), one),
                  weir::error::bad_input);
  pass.logits(0, 2, logits.data(), one);

  struct stop {};
  CHECK_THROWS_AS(
      pass.forward(
          some_tokens(2),
          [](std::size_t, const float*, const float*, const float*, float*) { throw stop{}; }, one),
      stop);
  CHECK(pass.rows() == 0);
}

TEST_CASE("a model may be moved before it is used") {
  weir::executor one;
  auto first = tiny(ggml_type::float16);
  const auto tokens = some_tokens(3);
  const auto expected = all_logits(first, tokens, 3, one);
  const weir::llama_model second = std::move(first);
  CHECK(weir_test::same_bits(all_logits(second, tokens, 3, one), expected));
  CHECK(second.tokenizer.vocab_size() == second.config.vocab_size);
}

TEST_CASE("greedy text of a published model") {
  const auto path = weir_test::shared("models/stories260K-f32.gguf");
  const auto golden = weir_test::shared("golden/stories260K-greedy.json");
  if (!path || !golden) return;
  std::stringstream text;
  text << std::ifstream(*golden).rdbuf();
  const std::string json = text.str();
  const std::string mark = "\"ids\": [";
  std::string list = json.substr(json.find(mark) + mark.size());
  list = list.substr(0, list.find(']'));
  std::replace(list.begin(), list.end(), ',', ' ');
  std::istringstream numbers(list);
  std::vector<token_id> expected;
  for (token_id id; numbers >> id;) expected.push_back(id);
  REQUIRE(expected.size() == 199);

  weir::executor one;
  const weir::llama_model model = weir::load_model(*path);
  weir::llama_pass pass(model.config, model.weights, 1);
  naive_attention attention(model.config);
  std::vector<float> logits(model.config.vocab_size);
  std::vector<token_id> found;
  token_id token = 1;
  while (found.size() < expected.size()) {
    pass.forward(
        std::span(&token, 1),
        [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
          attention.attend(layer, 1, q, k, v, out);
        },
        one);
    pass.logits(0, 1, logits.data(), one);
    token = static_cast<token_id>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    found.push_back(token);
  }
  CHECK(found == expected);
}
