// Writes small GGUF images in memory, valid ones and ones that break any single rule.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/half.hpp>
#include <weir/model/gguf/ggml_type.hpp>
#include <weir/model/gguf/gguf_value.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>
#include "support/packed_weights.hpp"

namespace weir_test {

using bytes = std::vector<std::byte>;

/// Little-endian fields one after the other; notes where the 32- and 64-bit ones lie.
class byte_writer {
 public:
  struct field {
    std::size_t offset;
    std::size_t size;
  };

  template <class T>
  byte_writer& put(T value) {
    if constexpr (sizeof(T) >= 4) fields.push_back({data.size(), sizeof(T)});
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    data.insert(data.end(), p, p + sizeof(T));
    return *this;
  }
  byte_writer& put_bytes(std::span<const std::byte> b) {
    data.insert(data.end(), b.begin(), b.end());
    return *this;
  }
  byte_writer& put_text(std::string_view s) { return put_bytes(std::as_bytes(std::span(s))); }
  byte_writer& put_string(std::string_view s, std::optional<std::uint64_t> length = {}) {
    put<std::uint64_t>(length.value_or(s.size()));
    return put_text(s);
  }
  byte_writer& append(const byte_writer& other) {
    for (const field f : other.fields) fields.push_back({data.size() + f.offset, f.size});
    return put_bytes(other.data);
  }
  byte_writer& align(std::size_t to) {
    data.resize((data.size() + to - 1) / to * to);
    return *this;
  }

  bytes data;
  std::vector<field> fields;
};

/// A GGUF file in the making. Whatever is set in an optional replaces the right number.
class gguf_builder {
 public:
  struct key_record {
    std::string key;
    std::uint32_t type = 0;
    byte_writer value;
    std::optional<std::uint64_t> key_length = {};
  };
  struct tensor_record {
    std::string name;
    std::uint32_t type = 0;
    std::vector<std::uint64_t> dims;
    bytes data;
    std::optional<std::uint64_t> name_length = {};
    std::optional<std::uint32_t> rank = {};
    std::optional<std::uint64_t> offset = {};
  };

  std::uint32_t magic = 0x46554747u;
  std::uint32_t version = 3;
  std::optional<std::uint64_t> tensor_count;
  std::optional<std::uint64_t> key_count;
  std::size_t alignment = 32;
  std::vector<key_record> keys;
  std::vector<tensor_record> tensors;

  /// Adds or replaces a key. The value is whatever `type` should be followed by.
  gguf_builder& set_raw(std::string_view key, std::uint32_t type, byte_writer value) {
    for (key_record& r : keys)
      if (r.key == key) {
        r.type = type;
        r.value = std::move(value);
        return *this;
      }
    keys.push_back({std::string(key), type, std::move(value)});
    return *this;
  }

  gguf_builder& set(std::string_view key, std::uint32_t v) { return set_number(key, 4, v); }
  gguf_builder& set(std::string_view key, std::int32_t v) { return set_number(key, 5, v); }
  gguf_builder& set(std::string_view key, float v) { return set_number(key, 6, v); }
  gguf_builder& set(std::string_view key, std::uint64_t v) { return set_number(key, 10, v); }
  gguf_builder& set(std::string_view key, bool v) {
    return set_number(key, 7, static_cast<std::uint8_t>(v));
  }
  gguf_builder& set(std::string_view key, std::string_view v) {
    return set_raw(key, 8, byte_writer().put_string(v));
  }
  gguf_builder& set(std::string_view key, const char* v) { return set(key, std::string_view(v)); }
  gguf_builder& set(std::string_view key, const std::vector<std::string>& v) {
    byte_writer w;
    w.put<std::uint32_t>(8).put<std::uint64_t>(v.size());
    for (const std::string& s : v) w.put_string(s);
    return set_raw(key, 9, std::move(w));
  }
  gguf_builder& set(std::string_view key, const std::vector<float>& v) {
    return set_array(key, 6, v);
  }
  gguf_builder& set(std::string_view key, const std::vector<std::int32_t>& v) {
    return set_array(key, 5, v);
  }
  gguf_builder& set(std::string_view key, const std::vector<std::uint32_t>& v) {
    return set_array(key, 4, v);
  }
  /// An array of numbers of `type`, which is that of `T`.
  template <class T>
  gguf_builder& set_array(std::string_view key, std::uint32_t type, const std::vector<T>& v) {
    byte_writer w;
    w.put(type).put<std::uint64_t>(v.size());
    for (const T x : v) w.put(x);
    return set_raw(key, 9, std::move(w));
  }
  gguf_builder& erase(std::string_view key) {
    std::erase_if(keys, [&](const key_record& r) { return r.key == key; });
    return *this;
  }

  gguf_builder& add_tensor(std::string name, weir::ggml_type type, std::vector<std::uint64_t> dims,
                           bytes data) {
    tensors.push_back(
        {std::move(name), static_cast<std::uint32_t>(type), std::move(dims), std::move(data)});
    return *this;
  }
  tensor_record& tensor(std::string_view name) {
    for (tensor_record& t : tensors)
      if (t.name == name) return t;
    throw std::logic_error("no such tensor");
  }
  gguf_builder& erase_tensor(std::string_view name) {
    std::erase_if(tensors, [&](const tensor_record& r) { return r.name == name; });
    return *this;
  }

  /// The image, and where its numbers lie. Nothing follows the last tensor's last byte.
  byte_writer write() const {
    byte_writer w;
    w.put(magic).put(version);
    w.put<std::uint64_t>(tensor_count.value_or(tensors.size()));
    w.put<std::uint64_t>(key_count.value_or(keys.size()));
    for (const key_record& k : keys) w.put_string(k.key, k.key_length).put(k.type).append(k.value);
    std::uint64_t offset = 0;
    for (const tensor_record& t : tensors) {
      w.put_string(t.name, t.name_length);
      w.put<std::uint32_t>(t.rank.value_or(static_cast<std::uint32_t>(t.dims.size())));
      for (const std::uint64_t d : t.dims) w.put(d);
      w.put(t.type).put<std::uint64_t>(t.offset.value_or(offset));
      offset = (offset + t.data.size() + alignment - 1) / alignment * alignment;
    }
    if (tensors.empty()) return w;
    w.align(alignment);
    const std::size_t start = w.data.size();
    for (const tensor_record& t : tensors) {
      w.data.resize(start + (w.data.size() - start + alignment - 1) / alignment * alignment);
      w.put_bytes(t.data);
    }
    return w;
  }
  bytes build() const { return write().data; }

 private:
  template <class T>
  gguf_builder& set_number(std::string_view key, std::uint32_t type, T v) {
    return set_raw(key, type, byte_writer().put(v));
  }
};

/// Sets an array of `v`, which every integer type can hold, in each type, and calls `f` with its
/// number.
template <class F>
void for_each_integer_array(gguf_builder& b, std::string_view key,
                            const std::vector<std::int8_t>& v, const F& f) {
  const auto in = [&]<class T>(std::uint32_t type, T) {
    b.set_array(key, type, std::vector<T>(v.begin(), v.end()));
    f(type);
  };
  in(0, std::uint8_t{}), in(1, std::int8_t{}), in(2, std::uint16_t{}), in(3, std::int16_t{});
  in(4, std::uint32_t{}), in(5, std::int32_t{}), in(10, std::uint64_t{}), in(11, std::int64_t{});
}

/// Normally distributed weights of standard deviation `scale`, written in `type`. `count` is a
/// multiple of its block.
inline bytes random_weights(weir::ggml_type type, std::size_t count, float scale,
                            std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  byte_writer w;
  switch (type) {
    case weir::ggml_type::float16:
      for (const float v : x) w.put(weir::to_f16(v));
      break;
    case weir::ggml_type::bfloat16:
      for (const float v : x) w.put(weir::to_bf16(v));
      break;
    case weir::ggml_type::q8_0:
      for (std::size_t i = 0; i < count; i += 32) {
        float most = 0;
        for (std::size_t j = 0; j < 32; ++j) most = std::max(most, std::abs(x[i + j]));
        const weir::f16 d = weir::to_f16(most / 127);
        w.put(d);
        for (std::size_t j = 0; j < 32; ++j) {
          const float q = most == 0 ? 0 : std::round(x[i + j] / weir::to_float(d));
          w.put(static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f)));
        }
      }
      break;
    case weir::ggml_type::float32:
      for (const float v : x) w.put(v);
      break;
    default:
      w.put_bytes(encode_packed(static_cast<packing>(type), x));
  }
  w.fields.clear();
  return std::move(w.data);
}

/// A token list under construction.
struct tiny_vocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;

  tiny_vocabulary& add(std::string token, weir::token_kind kind = weir::token_kind::normal,
                       float score = 0) {
    tokens.push_back(std::move(token));
    scores.push_back(score);
    kinds.push_back(static_cast<std::int32_t>(kind));
    return *this;
  }

  /// Unknown, BOS, EOS as 0, 1, 2 and the blank, so that any text can be encoded.
  static tiny_vocabulary least() {
    tiny_vocabulary v;
    v.add("<unk>", weir::token_kind::unknown);
    v.add("<s>", weir::token_kind::control).add("</s>", weir::token_kind::control);
    v.add("\xE2\x96\x81", weir::token_kind::normal, -1000.0f);
    return v;
  }

  /// `size` >= 259 tokens: the specials, all bytes, then letters and syllables that join into
  /// longer and longer pieces.
  static tiny_vocabulary of_size(std::size_t size) {
    tiny_vocabulary v;
    v.add("<unk>", weir::token_kind::unknown);
    v.add("<s>", weir::token_kind::control).add("</s>", weir::token_kind::control);
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; ++b)
      v.add(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", weir::token_kind::byte);
    std::vector<std::string> pieces = {"\xE2\x96\x81"};
    for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
    // Every later piece is an earlier one and a letter, so that each can be reached by joining.
    for (std::size_t i = 0; v.tokens.size() + pieces.size() < size; ++i)
      for (char c = 'a'; c <= 'z'; ++c) pieces.push_back(pieces[i] + c);
    for (std::size_t i = 0; v.tokens.size() < size; ++i)
      v.add(pieces[i], weir::token_kind::normal, -static_cast<float>(i));
    return v;
  }

  void write_to(gguf_builder& file) const {
    file.set("tokenizer.ggml.model", "llama");
    file.set("tokenizer.ggml.tokens", tokens);
    file.set("tokenizer.ggml.scores", scores);
    file.set("tokenizer.ggml.token_type", kinds);
    file.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
    file.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
    file.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
    file.set("tokenizer.ggml.add_space_prefix", true);
  }
};

struct tiny_llama_options {
  std::uint32_t embedding_length = 32;
  std::uint32_t block_count = 2;
  std::uint32_t feed_forward_length = 64;
  std::uint32_t head_count = 2;
  std::uint32_t head_count_kv = 1;
  std::uint32_t context_length = 128;
  float rope_freq_base = 10000.0f;
  weir::ggml_type type = weir::ggml_type::float32;  ///< of the matrices; norms are F32
  bool tied = true;                                 ///< whether output.weight is left out
  std::uint32_t seed = 1;
  tiny_vocabulary vocabulary = tiny_vocabulary::of_size(320);
};

/// A complete, valid Llama model with random weights. The lengths are multiples of the
/// block of `type`.
inline gguf_builder tiny_llama(const tiny_llama_options& o = {}) {
  gguf_builder file;
  file.set("general.architecture", "llama").set("general.name", "tiny");
  file.set("llama.context_length", o.context_length);
  file.set("llama.embedding_length", o.embedding_length);
  file.set("llama.block_count", o.block_count);
  file.set("llama.feed_forward_length", o.feed_forward_length);
  file.set("llama.attention.head_count", o.head_count);
  file.set("llama.attention.head_count_kv", o.head_count_kv);
  file.set("llama.rope.freq_base", o.rope_freq_base);
  file.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  o.vocabulary.write_to(file);

  std::mt19937 random(o.seed);
  const auto matrix = [&](const std::string& name, std::uint64_t rows, std::uint64_t cols) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(cols));
    file.add_tensor(name, o.type, {cols, rows}, random_weights(o.type, rows * cols, scale, random));
  };
  const auto norm = [&](const std::string& name) {
    std::normal_distribution<float> near_one(1.0f, 0.1f);
    byte_writer w;
    for (std::uint32_t i = 0; i < o.embedding_length; ++i) w.put(near_one(random));
    file.add_tensor(name, weir::ggml_type::float32, {o.embedding_length}, std::move(w.data));
  };

  const std::uint64_t width = o.embedding_length;
  const std::uint64_t kv = width / o.head_count * o.head_count_kv;
  const std::uint64_t words = o.vocabulary.tokens.size();
  matrix("token_embd.weight", words, width);
  if (!o.tied) matrix("output.weight", words, width);
  norm("output_norm.weight");
  for (std::uint32_t i = 0; i < o.block_count; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    norm(block + "attn_norm.weight");
    matrix(block + "attn_q.weight", width, width);
    matrix(block + "attn_k.weight", kv, width);
    matrix(block + "attn_v.weight", kv, width);
    matrix(block + "attn_output.weight", width, width);
    norm(block + "ffn_norm.weight");
    matrix(block + "ffn_gate.weight", o.feed_forward_length, width);
    matrix(block + "ffn_up.weight", o.feed_forward_length, width);
    matrix(block + "ffn_down.weight", width, o.feed_forward_length);
  }
  return file;
}

/// The least model: one layer of one head of two, and a handful of tokens. Good to corrupt.
inline gguf_builder least_llama() {
  tiny_llama_options o;
  o.embedding_length = 4;
  o.feed_forward_length = 4;
  o.block_count = 1;
  o.vocabulary = tiny_vocabulary::least();
  o.vocabulary.add("a", weir::token_kind::normal, -2).add("b", weir::token_kind::normal, -3);
  return tiny_llama(o);
}

}  // namespace weir_test
