// Llama configurations and weights that break a rule: each is refused naming key or tensor.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>

using weir::ggml_type;
using weir::gguf_file;
using namespace weir_test;
using parts = std::initializer_list<std::string_view>;

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

weir::llama_config config_of(const gguf_builder& b) {
  return weir::read_llama_config(gguf_file(b.build()));
}

/// The file itself loads; its configuration is refused.
void config_refused(const gguf_builder& b, parts where) {
  const gguf_file f(b.build(), "bad.gguf");
  require_refused<weir::error::bad_file>([&] { weir::read_llama_config(f); }, {"bad.gguf"});
  require_refused<weir::error::bad_file>([&] { weir::read_llama_config(f); }, where);
}

/// The configuration is fine; the weights are refused.
void weights_refused(const gguf_builder& b, parts where) {
  const gguf_file f(b.build(), "bad.gguf");
  const weir::llama_config c = weir::read_llama_config(f);
  require_refused<weir::error::bad_file>([&] { weir::read_llama_weights(f, c); }, {"bad.gguf"});
  require_refused<weir::error::bad_file>([&] { weir::read_llama_weights(f, c); }, where);
}

bytes zeros(std::size_t floats) { return bytes(4 * floats); }

}  // namespace

TEST_CASE("another architecture is refused by name") {
  config_refused(least_llama().set("general.architecture", "mamba"),
                 {"'general.architecture'", "'mamba'", "expected 'llama'"});
  config_refused(least_llama().erase("general.architecture"), {"'general.architecture'"});
}

TEST_CASE("a block_count of 0, 2^31 or more than there are tensors for is refused") {
  const std::uint32_t n = GENERATE(0u, 2u, 3u, 1000u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu);
  config_refused(least_llama().set("llama.block_count", n),
                 {"'llama.block_count'", std::to_string(n)});
}

TEST_CASE("a block_count above the layers present is refused, though other tensors abound") {
  gguf_builder b = least_llama();
  for (int i = 0; i < 30; ++i)
    b.add_tensor("extra." + std::to_string(i), ggml_type::float32, {1}, zeros(1));
  b.set("llama.block_count", 3u);
  weights_refused(b, {"tensor 'blk.1.attn_norm.weight'", "missing"});
}

TEST_CASE("a head_count of 0 is refused") {
  config_refused(least_llama().set("llama.attention.head_count", 0u),
                 {"'llama.attention.head_count'", "0"});
}

TEST_CASE("a head_count_kv of 0, or one that does not divide head_count, is refused") {
  const std::uint32_t n = GENERATE(0u, 3u, 4u, 0xFFFFFFFFu);
  config_refused(least_llama().set("llama.attention.head_count_kv", n),
                 {"'llama.attention.head_count_kv'", std::to_string(n)});
}

TEST_CASE("without head_count_kv every query head has its own") {
  REQUIRE(config_of(least_llama().erase("llama.attention.head_count_kv")).head_count_kv == 2);
}

TEST_CASE("an embedding_length that heads do not divide is refused") {
  config_refused(least_llama().set("llama.embedding_length", 5u),
                 {"'llama.embedding_length'", "5", "2 query heads"});
  config_refused(least_llama().set("llama.embedding_length", 0u),
                 {"'llama.embedding_length'", "0"});
}

TEST_CASE("key and value lengths give the head's length and must agree") {
  gguf_builder b = least_llama();
  b.set("llama.attention.key_length", 2u).set("llama.attention.value_length", 2u);
  REQUIRE(config_of(b).head_dim == 2);
  b.set("llama.attention.value_length", 4u);
  config_refused(b, {"'llama.attention.value_length'", "4", "expected 2"});
  b.set("llama.attention.value_length", 0u);
  config_refused(b, {"'llama.attention.value_length'", "0"});
  b.erase("llama.attention.value_length");  // then values are as long as keys, and the reverse
  REQUIRE(config_of(b).head_dim == 2);
  b.erase("llama.attention.key_length").set("llama.attention.value_length", 2u);
  REQUIRE(config_of(b).head_dim == 2);
}

TEST_CASE("a head's length may differ from embedding_length / head_count") {
  gguf_builder b = least_llama();
  b.set("llama.attention.key_length", 4u).set("llama.attention.value_length", 4u);
  const auto reshape = [&](const char* name, std::uint64_t cols, std::uint64_t rows) {
    auto& t = b.tensor(name);
    t.dims = {cols, rows};
    t.data = zeros(cols * rows);
  };
  reshape("blk.0.attn_q.weight", 4, 8);
  reshape("blk.0.attn_k.weight", 4, 4);
  reshape("blk.0.attn_v.weight", 4, 4);
  reshape("blk.0.attn_output.weight", 8, 4);
  const gguf_file f(b.build());
  const auto w = weir::read_llama_weights(f, weir::read_llama_config(f));
  REQUIRE(w.layers[0].o.cols == 8);
}

TEST_CASE("a rope dimension that is 0, odd or larger than the head is refused") {
  const std::uint32_t n = GENERATE(0u, 1u, 3u, 4u, 0xFFFFFFFEu);
  config_refused(least_llama().set("llama.rope.dimension_count", n),
                 {"'llama.rope.dimension_count'", std::to_string(n)});
}

TEST_CASE("an odd head is refused when all of it is to rotate") {
  gguf_builder b = least_llama();
  b.set("llama.attention.key_length", 3u).set("llama.attention.value_length", 3u);
  config_refused(b, {"'llama.rope.dimension_count'", "3", "even"});
}

TEST_CASE("a norm epsilon of NaN, 0, infinity or below 0 is refused") {
  const float epsilon =
      GENERATE(as<float>{}, not_a_number, 0.0f, -0.0f, -1e-5f, infinite, -infinite);
  config_refused(least_llama().set("llama.attention.layer_norm_rms_epsilon", epsilon),
                 {"'llama.attention.layer_norm_rms_epsilon'", "expected a positive finite"});
}

TEST_CASE(
    "a rope base of 0, next to 0, NaN, infinity or below 0 is refused, a missing one is 10000") {
  const float base = GENERATE(0.0f, 0x1p-53f, 1e-40f, not_a_number, infinite, -infinite, -10000.0f);
  config_refused(least_llama().set("llama.rope.freq_base", base),
                 {"'llama.rope.freq_base'", "expected a positive finite"});
  REQUIRE(config_of(least_llama().erase("llama.rope.freq_base")).rope_freq_base == 10000.0);
  REQUIRE(config_of(least_llama().set("llama.rope.freq_base", 0x1p-52f)).rope_freq_base == 0x1p-52);
}

TEST_CASE("a context_length of 0 or 2^32 is refused") {
  config_refused(least_llama().set("llama.context_length", 0u), {"'llama.context_length'", "0"});
  config_refused(least_llama().set("llama.context_length", std::uint64_t{1} << 32),
                 {"'llama.context_length'", "4294967296", "expected 0 to"});
}

TEST_CASE("rope scaling is refused, unless it is none") {
  gguf_builder b = least_llama();
  b.set("llama.rope.scaling.type", "none");
  config_of(b);
  b.set("llama.rope.scaling.type", "yarn");
  config_refused(b, {"'llama.rope.scaling.type'", "weir cannot compute"});
  b.erase("llama.rope.scaling.type").set("llama.rope.scaling.factor", 4.0f);
  config_refused(b, {"'llama.rope.scaling.factor'", "weir cannot compute"});
  b.erase("llama.rope.scaling.factor").set("llama.rope.scale_linear", 2.0f);
  config_refused(b, {"'llama.rope.scale_linear'", "weir cannot compute"});
  b.set("llama.rope.scale_linear", 1.0f);
  config_of(b);
  // What asks for nothing.
  b.set("llama.rope.scaling.factor", 1.0f).set("llama.rope.scaling.type", "linear");
  config_of(b);
  b.set("llama.rope.scaling.finetuned", false);
  config_of(b);
  b.set("llama.rope.scaling.finetuned", true);
  b.set("llama.rope.scaling.original_context_length", 512u);
  config_of(b);
  config_of(gguf_builder(b).erase("llama.rope.scaling.type"));
  config_of(gguf_builder(b).erase("llama.rope.scaling.factor"));
  // What does ask for something is named, whatever stands before it.
  config_refused(gguf_builder(b).set("llama.rope.scaling.factor", 2.0f),
                 {"'llama.rope.scaling.", "weir cannot compute"});
  config_refused(gguf_builder(b).set("llama.rope.scaling.type", "yarn"),
                 {"'llama.rope.scaling.type'", "weir cannot compute"});
  config_refused(gguf_builder(b).set("llama.rope.scaling.attn_factor", 2.0f),
                 {"'llama.rope.scaling.attn_factor'", "weir cannot compute"});
  config_refused(gguf_builder(b).set("llama.rope.scaling.yarn_log_multiplier", 0.1f),
                 {"'llama.rope.scaling.yarn_log_multiplier'", "weir cannot compute"});
  b.set("llama.rope.scaling.type", "none").set("llama.rope.scaling.factor", 8.0f);
  b.set("llama.rope.scaling.original_context_length", 512u)
      .set("llama.rope.scaling.finetuned", true);
  config_of(b);
  b.set("llama.rope.scaling.type", "linear");
  config_refused(b, {"weir cannot compute"});
}

TEST_CASE("experts, sliding windows and attention that looks ahead are refused") {
  config_refused(least_llama().set("llama.expert_count", 8u), {"'llama.expert_count'", "8"});
  config_refused(least_llama().set("llama.attention.sliding_window", 4096u),
                 {"'llama.attention.sliding_window'", "4096"});
  config_refused(least_llama().set("llama.attention.causal", false), {"'llama.attention.causal'"});
  config_of(least_llama().set("llama.expert_count", 0u).set("llama.attention.causal", true));
}

TEST_CASE("numbers given once a layer must be as many as layers, positive and equal") {
  const std::string key = GENERATE(as<std::string>{}, "llama.attention.head_count",
                                   "llama.attention.head_count_kv", "llama.feed_forward_length");
  tiny_llama_options o;
  o.vocabulary = tiny_vocabulary::least();
  gguf_builder b = tiny_llama(o);
  const gguf_file f(b.build());
  const auto v = static_cast<std::int32_t>(f.get_u32(key));
  using ints = std::vector<std::int32_t>;
  config_of(b.set(key, ints{v, v}));
  const auto small = static_cast<std::int8_t>(v);
  std::size_t types = 0;
  for_each_integer_array(b, key, {small, small}, [&](std::uint32_t) {
    config_of(b);
    ++types;
  });
  REQUIRE(types == 8);
  config_refused(b.set(key, ints{v}), {key, "has 1 elements", "2 layers"});
  config_refused(b.set(key, ints{v, v, v}), {key, "has 3 elements", "2 layers"});
  config_refused(b.set(key, ints{}), {key, "has 0 elements", "2 layers"});
  config_refused(b.set(key, ints{v, v + 1}), {key, "layer 1", "expected equal layers"});
  config_refused(b.set(key, ints{0, 0}), {key, "0", "at least 1"});
  config_refused(b.set(key, ints{-1, -1}), {key, "-1", "at least 1"});
  config_refused(b.set(key, std::vector<std::uint32_t>{2147483648u, 2147483648u}),
                 {key, "2147483648", "element 0"});
  config_refused(b.set(key, std::vector<float>{2.0f, 2.0f}), {key, "array of float32"});
}

TEST_CASE("every key with a value of the wrong type is refused") {
  const std::string key = GENERATE(
      as<std::string>{}, "general.architecture", "llama.context_length", "llama.embedding_length",
      "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count",
      "llama.attention.head_count_kv", "llama.rope.dimension_count", "llama.rope.freq_base",
      "llama.attention.layer_norm_rms_epsilon", "llama.vocab_size", "llama.expert_count");
  const bool text = key == "general.architecture";
  const bool real = key.find("freq_base") != key.npos || key.find("epsilon") != key.npos;
  const std::string quoted = "'" + key + "'";
  if (text || real) {
    config_refused(least_llama().set(key, std::uint64_t{4}), {quoted, "uint64", "expected"});
    config_refused(least_llama().set(key, std::int32_t{4}), {quoted, "int32", "expected"});
  } else {
    config_refused(least_llama().set(key, std::int32_t{-4}), {quoted, "-4", "expected 0 to"});
    config_refused(least_llama().set(key, std::uint64_t{1} << 32), {quoted, "4294967296"});
    config_refused(least_llama().set(key, ~std::uint64_t{0}), {quoted, "expected less than 2^63"});
  }
  config_refused(least_llama().set(key, true), {quoted, "bool", "expected"});
  config_refused(least_llama().set(key, std::vector<std::string>{"4"}),
                 {quoted, "array of string", "expected"});
  if (!text) config_refused(least_llama().set(key, "4"), {quoted, "string", "expected"});
  if (!real) config_refused(least_llama().set(key, 4.0f), {quoted, "float32", "expected"});
}

TEST_CASE("numbers may be stored in any width") {
  const auto narrow = [](std::uint32_t type, auto value) {
    return std::pair(type, byte_writer().put(value));
  };
  const auto expected = config_of(least_llama());
  for (const auto& [type, value] :
       {narrow(0, std::uint8_t{1}), narrow(1, std::int8_t{1}), narrow(2, std::uint16_t{1}),
        narrow(3, std::int16_t{1}), narrow(5, std::int32_t{1}), narrow(10, std::uint64_t{1}),
        narrow(11, std::int64_t{1})}) {
    INFO(type);
    gguf_builder b = least_llama();
    b.set_raw("llama.block_count", type, value);
    CHECK(config_of(b).block_count == 1);
    CHECK(expected.block_count == 1);
  }
  gguf_builder b = least_llama();
  b.set_raw("llama.rope.freq_base", 12, byte_writer().put(5e5));
  CHECK(config_of(b).rope_freq_base == 5e5f);
  b.set_raw("llama.attention.layer_norm_rms_epsilon", 12, byte_writer().put(1e-60));
  config_refused(b, {"'llama.attention.layer_norm_rms_epsilon'", "1e-60", "float32"});
}

TEST_CASE("every key that a model needs is missed by name") {
  const std::string key =
      GENERATE(as<std::string>{}, "llama.context_length", "llama.embedding_length",
               "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count",
               "llama.attention.layer_norm_rms_epsilon");
  config_refused(least_llama().erase(key), {"'" + key + "'", "missing"});
}

TEST_CASE("a vocabulary size that disagrees with the token list is refused") {
  gguf_builder b = least_llama();
  config_of(b.set("llama.vocab_size", 6u));
  config_refused(b.set("llama.vocab_size", 7u), {"'llama.vocab_size'", "7", "expected 6"});
  b.erase("tokenizer.ggml.tokens").set("llama.vocab_size", 0u);
  config_refused(b, {"'llama.vocab_size'", "0"});
  config_refused(b.erase("llama.vocab_size"), {"'llama.vocab_size'", "missing"});
}

TEST_CASE("a file with a vocabulary alone has no configuration") {
  gguf_builder b = least_llama();
  b.tensors.clear();
  config_refused(b, {"'llama.block_count'", "0 tensors"});
}

TEST_CASE("every needed tensor that is missing is named") {
  // Spare tensors keep the count, so that the missing one is what is found.
  for (const auto& t : least_llama().tensors) {
    gguf_builder b = least_llama();
    b.erase_tensor(t.name);
    b.add_tensor("spare", ggml_type::float32, {1}, zeros(1));
    weights_refused(b, {"tensor '" + t.name + "'", "missing"});
  }
}

TEST_CASE("every tensor of the wrong shape is named with both shapes") {
  for (const auto& t : least_llama().tensors) {
    gguf_builder b = least_llama();
    auto& wrong = b.tensor(t.name);
    wrong.dims.back() += 1;
    wrong.data.resize(wrong.data.size() * 2);
    weights_refused(b, {"tensor '" + t.name + "'", "shape", "expected"});
    wrong = t;
    wrong.dims.push_back(2);
    wrong.data.resize(wrong.data.size() * 2);
    weights_refused(b, {"tensor '" + t.name + "'", "shape", "expected"});
    wrong.dims.back() = 1;  // trailing ones are no difference
    wrong.data = t.data;
    const gguf_file f(b.build());
    weir::read_llama_weights(f, weir::read_llama_config(f));
  }
}

TEST_CASE("a weight with a dimension of 0 is refused") {
  for (const auto& t : least_llama().tensors) {
    gguf_builder b = least_llama();
    b.tensor(t.name).dims[0] = 0;
    b.tensor(t.name).data.clear();
    weights_refused(b, {"tensor '" + t.name + "'", "shape 0"});
  }
}

TEST_CASE("a matrix of a type that weir cannot use is refused") {
  for (const auto& t : least_llama().tensors) {
    if (t.dims.size() == 1) continue;
    gguf_builder b = least_llama();
    b.tensor(t.name).type = 28;  // F64
    b.tensor(t.name).data.resize(t.data.size() * 2);
    weights_refused(b,
                    {"tensor '" + t.name + "'", "type F64",
                     "expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"});
  }
}

TEST_CASE("a norm that is not F32 is refused") {
  gguf_builder b = least_llama();
  b.tensor("blk.0.ffn_norm.weight").type = static_cast<std::uint32_t>(ggml_type::float16);
  weights_refused(b, {"tensor 'blk.0.ffn_norm.weight'", "type F16", "expected F32"});
}

TEST_CASE("an embedding with more or fewer rows than the vocabulary is refused") {
  const std::uint64_t rows = GENERATE(5u, 7u);
  gguf_builder b = least_llama();
  b.tensor("token_embd.weight").dims[1] = rows;
  b.tensor("token_embd.weight").data.resize(4 * 4 * rows);
  weights_refused(
      b, {"tensor 'token_embd.weight'", "shape 4 x " + std::to_string(rows), "expected 4 x 6"});
}

TEST_CASE("an untied output of the wrong shape is refused") {
  gguf_builder b = least_llama();
  b.add_tensor("output.weight", ggml_type::float32, {4, 5}, zeros(20));
  weights_refused(b, {"tensor 'output.weight'", "shape 4 x 5", "expected 4 x 6"});
}

TEST_CASE("tensors that would change results if passed over are refused, others are not") {
  const std::string name =
      GENERATE(as<std::string>{}, "rope_freqs.weight", "blk.0.attn_q.bias", "blk.1.attn_q.weight",
               "output.bias", "output_norm.bias", "token_types.weight", "rope_factors_long.weight",
               "blk.0.ffn_gate_inp.weight");
  gguf_builder b = least_llama();
  b.add_tensor("comment", ggml_type::float32, {1}, zeros(1));
  const gguf_file f(b.build());
  weir::read_llama_weights(f, weir::read_llama_config(f));
  b.add_tensor(name, ggml_type::float32, {4}, zeros(4));
  weights_refused(b, {"tensor '" + name + "'", "no place"});
}
