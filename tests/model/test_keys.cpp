// Every key that weir reads, and what it changes: a key that is read and has no effect would be a
// wish that is passed over in silence.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <weir/weir.hpp>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"

namespace {

using namespace weir_test;

/// A model with two tokens that may end a text, and one that users define.
gguf_builder whole_model() {
  tiny_llama_options o;
  o.vocabulary = tiny_vocabulary::of_size(340);
  o.vocabulary.add("<end>", weir::token_kind::user_defined);
  o.vocabulary.add("<pad>", weir::token_kind::user_defined);
  return tiny_llama(o);
}

/// What a user sees of a model: its tokens, what they are for, and the logits behind a text.
std::string seen_of(const gguf_builder& file) {
  const weir::llama_model model{weir::gguf_file(file.build())};
  const weir::tokenizer& t = model.tokenizer;
  std::ostringstream all;
  const std::vector<weir::token_id> text = t.encode("aaab d<end> \x01", weir::text_marks{});
  for (const weir::token_id id : text) all << id << ' ';
  for (weir::token_id id = 0; id < static_cast<weir::token_id>(model.config.vocab_size); ++id)
    if (t.ends_text(id)) all << "end " << id << ' ';
  all << t.decode(text) << ' ';
  weir::token_stream<weir::kv_cache<weir::f32, weir::keep_all>> stream(model, weir::keep_all{64},
                                                                       {.chunk = 16, .threads = 1});
  stream.feed(text);
  for (const float x : stream.logits()) all << std::bit_cast<std::uint32_t>(x) << ' ';
  // The context is what a preset of no other size keeps.
  all << weir::shape_of(model.config).trained_context;
  return all.str();
}

struct key_effect {
  std::string key;
  std::function<void(gguf_builder&)> change;
  std::string refused = {};  ///< a part of the message where another value cannot be had
};

std::vector<key_effect> effects() {
  const auto to = [](std::string key, auto value) {
    return key_effect{key, [key, value](gguf_builder& b) { b.set(key, value); }};
  };
  const auto refused = [](std::string key, auto value, std::string why) {
    return key_effect{key, [key, value](gguf_builder& b) { b.set(key, value); }, std::move(why)};
  };
  const auto vocabulary = [](std::string key, auto change) {
    return key_effect{key, [change](gguf_builder& b) {
                        tiny_vocabulary v = tiny_vocabulary::of_size(340);
                        v.add("<end>", weir::token_kind::user_defined);
                        v.add("<pad>", weir::token_kind::user_defined);
                        change(v);
                        v.write_to(b);
                      }};
  };
  const std::string ggml = "tokenizer.ggml.";
  return {
      refused("general.architecture", "gpt2", "expected 'llama'"),
      refused("general.alignment", 1024u, "tensor"),  // the file was written for 32
      to("llama.context_length", 256u),
      refused("llama.embedding_length", 64u, "shape"),
      refused("llama.block_count", 3u, "layers"),
      refused("llama.feed_forward_length", 32u, "shape"),
      refused("llama.vocab_size", 7u, "length of 'tokenizer.ggml.tokens'"),
      refused("llama.attention.head_count", 4u, "shape"),
      refused("llama.attention.head_count_kv", 2u, "shape"),
      refused("llama.attention.key_length", 8u, "shape"),
      refused("llama.attention.value_length", 8u, "shape"),
      to("llama.attention.layer_norm_rms_epsilon", 0.5f),
      refused("llama.attention.causal", false, "cannot compute"),
      refused("llama.attention.sliding_window", 4u, "cannot compute"),
      refused("llama.expert_count", 2u, "cannot compute"),
      to("llama.rope.dimension_count", 8u),
      to("llama.rope.freq_base", 20.0f),
      refused("llama.rope.scale_linear", 2.0f, "cannot compute"),
      refused("llama.rope.scaling.factor", 2.0f, "cannot compute"),
      refused("llama.rope.scaling.type", "yarn", "cannot compute"),
      refused(ggml + "model", "gpt2", "gpt2"),
      refused(ggml + "merges", std::vector<std::string>{"a 9"}, "merges"),
      vocabulary(ggml + "tokens", [](tiny_vocabulary& v) { v.tokens.back() = "d<"; }),
      vocabulary(ggml + "scores",
                 [](tiny_vocabulary& v) {
                   for (float& x : v.scores) x = -x;
                 }),
      vocabulary(ggml + "token_type", [](tiny_vocabulary& v) { v.kinds[340] = 1; }),
      to(ggml + "bos_token_id", 5u),
      to(ggml + "eos_token_id", 5u),
      key_effect{ggml + "unknown_token_id",
                 [](gguf_builder& b) {
                   tiny_vocabulary v = tiny_vocabulary::least();
                   v.tokens.resize(3), v.scores.resize(3), v.kinds.resize(3);
                   v.add("<?>", weir::token_kind::unknown);
                   b = tiny_llama({.vocabulary = v});
                   b.set("tokenizer.ggml.unknown_token_id", 3u);
                 }},
      to(ggml + "eot_token_id", 340u),
      to(ggml + "eom_token_id", 341u),
      to(ggml + "add_bos_token", false),
      to(ggml + "add_eos_token", true),
      to(ggml + "add_space_prefix", false),
      refused("split.count", 3u, "split.no"),
      key_effect{"split.no", [](gguf_builder& b) { b.set("split.no", 1u).set("split.count", 1u); },
                 "split.no"},
  };
}

}  // namespace

TEST_CASE("each key that is read changes what a user sees, or is refused by name") {
  const std::string usual = seen_of(whole_model());
  for (const key_effect& effect : effects()) {
    INFO(effect.key);
    gguf_builder changed = whole_model();
    effect.change(changed);
    if (effect.refused.empty()) {
      CHECK((seen_of(changed) != usual));
      continue;
    }
    std::string message = "not refused";
    try {
      seen_of(changed);
    } catch (const weir::error::bad_file& e) {
      message = e.what();
    }
    INFO(message);
    CHECK(message.find(effect.refused) != std::string::npos);
  }
}

TEST_CASE("no key is read that is not listed here") {
  std::set<std::string> listed;
  for (const key_effect& effect : effects()) listed.insert(effect.key);
  listed.insert("split.tensors.count");  // of several files: test_gguf_split.cpp
  std::set<std::string> read;
  const std::regex key("\"((general|llama|tokenizer|split)\\.[a-z_.]*[a-z_])\"");
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(WEIR_SOURCE_DIR "/include/weir/model")) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::sregex_iterator found(text.begin(), text.end(), key), end; found != end; ++found)
      read.insert((*found)[1].str());
  }
  REQUIRE(read.size() > 20);
  for (const std::string& name : read) {
    INFO(name);
    CHECK(listed.contains(name));
  }
}
