// GGUF files that are nearly valid: refused with a typed error, or a model that can be used. The
// input says what is wrong with one of a few small models.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/core/error.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/load_model.hpp>
#include <weir/stream/stream_decoder.hpp>

#include "fuzz/fuzz_input.hpp"
#include "fuzz/gguf_image.hpp"

namespace {

using namespace weir_fuzz;

struct key_record {
  std::string_view name;
  std::uint32_t type = 0;
  std::string_view value;  // bytes behind the type
  std::optional<std::uint64_t> name_length = {};
};

struct tensor_record {
  std::string_view name;
  std::uint32_t type = 0;
  std::uint32_t rank = 1;
  std::array<std::uint64_t, 5> dims = {1, 1, 1, 1, 1};
  std::uint64_t size = 0;  // bytes that are written
  std::optional<std::uint64_t> name_length = {}, offset = {};
};

/// A file in the making. Text that is made up for it lies in `made`.
struct file_plan {
  std::vector<key_record> keys;
  std::vector<tensor_record> tensors;
  std::uint32_t magic = 0x46554747u, version = 3;
  std::optional<std::uint64_t> key_count = {}, tensor_count = {};
  std::uint64_t alignment = 64;  // that it is written with

  std::deque<std::string> made;
  std::string_view keep(std::string text) { return made.emplace_back(std::move(text)); }
};

template <class T>
std::string bytes_of(T value) {
  std::string s(sizeof value, '\0');
  std::memcpy(s.data(), &value, sizeof value);
  return s;
}
std::string string_value(std::string_view text) {
  return bytes_of(std::uint64_t{text.size()}).append(text);
}
template <class Element, class List>
std::string array_value(std::uint32_t type, const List& list, Element element) {
  std::string s = bytes_of(type) + bytes_of(std::uint64_t{std::size(list)});
  for (const auto& x : list) s += element(x);
  return s;
}

struct model_size {
  std::uint32_t width, inner, layers, type;
  std::uint64_t block, block_bytes;  // of the type
  bool tied;
};
constexpr model_size sizes[] = {{4, 4, 1, 0, 1, 4, true},
                                {4, 6, 2, 1, 1, 2, false},
                                {32, 32, 1, 8, 32, 34, true},
                                {32, 32, 1, 2, 32, 18, false}};

/// A valid model whose file ends where a cache line does, so that nothing behind it is its own.
file_plan model_of(const model_size& m) {
  file_plan f;
  const auto key = [&](std::string_view name, std::uint32_t type, std::string value) {
    f.keys.push_back({name, type, f.keep(std::move(value))});
  };
  key("general.alignment", 4, bytes_of(std::uint32_t{64}));
  key("general.architecture", 8, string_value("llama"));
  key("llama.context_length", 4, bytes_of(std::uint32_t{64}));
  key("llama.embedding_length", 4, bytes_of(m.width));
  key("llama.block_count", 4, bytes_of(m.layers));
  key("llama.feed_forward_length", 4, bytes_of(m.inner));
  key("llama.attention.head_count", 4, bytes_of(std::uint32_t{2}));
  key("llama.attention.head_count_kv", 4, bytes_of(std::uint32_t{1}));
  key("llama.rope.freq_base", 6, bytes_of(10000.0f));
  key("llama.attention.layer_norm_rms_epsilon", 6, bytes_of(1e-5f));
  key("tokenizer.ggml.model", 8, string_value("llama"));
  constexpr std::string_view tokens[] = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "ab"};
  key("tokenizer.ggml.tokens", 9, array_value(8, tokens, string_value));
  constexpr float scores[] = {0, 0, 0, -9, -2, -1};
  key("tokenizer.ggml.scores", 9, array_value(6, scores, bytes_of<float>));
  constexpr std::int32_t kinds[] = {2, 3, 3, 1, 1, 1};
  key("tokenizer.ggml.token_type", 9, array_value(5, kinds, bytes_of<std::int32_t>));

  const auto tensor = [&](std::string name, std::uint32_t type, std::uint64_t rows,
                          std::uint64_t cols) {
    const std::uint64_t size = type == 0 ? rows * cols * 4 : rows * cols / m.block * m.block_bytes;
    f.tensors.push_back(
        {f.keep(std::move(name)), type, rows == 1 ? 1u : 2u, {cols, rows, 1, 1, 1}, size});
  };
  const std::uint64_t width = m.width, kv = m.width / 2, words = std::size(tokens);
  tensor("token_embd.weight", m.type, words, width);
  if (!m.tied) tensor("output.weight", m.type, words, width);
  for (std::uint32_t i = 0; i < m.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    tensor(block + "attn_norm.weight", 0, 1, width);
    tensor(block + "attn_q.weight", m.type, width, width);
    tensor(block + "attn_k.weight", m.type, kv, width);
    tensor(block + "attn_v.weight", m.type, kv, width);
    tensor(block + "attn_output.weight", m.type, width, width);
    tensor(block + "ffn_norm.weight", 0, 1, width);
    tensor(block + "ffn_gate.weight", m.type, m.inner, width);
    tensor(block + "ffn_up.weight", m.type, m.inner, width);
    tensor(block + "ffn_down.weight", m.type, width, m.inner);
  }
  tensor("output_norm.weight", 0, 1, width);
  return f;
}

constexpr std::string_view key_names[] = {"general.alignment",
                                          "general.architecture",
                                          "llama.context_length",
                                          "llama.embedding_length",
                                          "llama.block_count",
                                          "llama.feed_forward_length",
                                          "llama.attention.head_count",
                                          "llama.attention.head_count_kv",
                                          "llama.attention.key_length",
                                          "llama.attention.value_length",
                                          "llama.attention.layer_norm_rms_epsilon",
                                          "llama.attention.sliding_window",
                                          "llama.attention.causal",
                                          "llama.rope.dimension_count",
                                          "llama.rope.freq_base",
                                          "llama.rope.scaling.type",
                                          "llama.rope.scaling.factor",
                                          "llama.rope.scaling.attn_factor",
                                          "llama.rope.scaling.finetuned",
                                          "llama.rope.scaling.original_context_length",
                                          "llama.rope.scale_linear",
                                          "llama.vocab_size",
                                          "llama.expert_count",
                                          "tokenizer.ggml.model",
                                          "tokenizer.ggml.tokens",
                                          "tokenizer.ggml.scores",
                                          "tokenizer.ggml.token_type",
                                          "tokenizer.ggml.merges",
                                          "tokenizer.ggml.bos_token_id",
                                          "tokenizer.ggml.eos_token_id",
                                          "tokenizer.ggml.unknown_token_id",
                                          "tokenizer.ggml.padding_token_id",
                                          "tokenizer.ggml.eot_token_id",
                                          "tokenizer.ggml.eom_token_id",
                                          "tokenizer.ggml.add_bos_token",
                                          "tokenizer.ggml.add_eos_token",
                                          "tokenizer.ggml.add_space_prefix",
                                          "split.no",
                                          "split.count",
                                          "split.tensors.count",
                                          "another"};

constexpr std::string_view tensor_names[] = {
    "token_embd.weight",      "output.weight",       "output_norm.weight",
    "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_q.bias",
    "blk.1.attn_norm.weight", "rope_freqs.weight",   "another"};

constexpr std::string_view words[] = {"llama",      "none", "linear",       "yarn",   "gpt2",
                                      "a",          "ab",   "\xE2\x96\x81", "<0x41>", "<0xZZ>",
                                      "<|im_end|>", "a b",  "\xFF",         ""};

std::uint64_t any_count(fuzz_input& in) {
  constexpr std::uint64_t special[] = {0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       8,
                                       32,
                                       63,
                                       64,
                                       65,
                                       255,
                                       256,
                                       65535,
                                       65536,
                                       0x7FFFFFFF,
                                       0x80000000,
                                       0xFFFFFFFF,
                                       std::uint64_t{1} << 40,
                                       std::uint64_t{1} << 60,
                                       std::uint64_t{1} << 61,
                                       (std::uint64_t{1} << 63) - 1,
                                       std::uint64_t{1} << 63,
                                       0x7FFFFFFFFFFFFFC0,
                                       0xFFFFFFFFFFFFFFC0,
                                       ~std::uint64_t{0} - 7,
                                       ~std::uint64_t{0}};
  return in.one_in(4) ? in.number<std::uint64_t>() : in.pick(special);
}

std::string any_text(fuzz_input& in) {
  return std::string(in.one_in(3) ? in.text(12) : in.pick(words));
}

/// An element of that type, or bytes that look like one.
std::string any_element(fuzz_input& in, std::uint32_t type) {
  constexpr float floats[] = {0, 1, -1, 1e-5f, 10000, 0.5f, 3e38f, 1e-45f};
  switch (type) {
    case 0:
    case 1:
    case 7:
      return bytes_of(in.number<std::uint8_t>());
    case 2:
    case 3:
      return bytes_of(static_cast<std::uint16_t>(any_count(in)));
    case 4:
    case 5:
      return bytes_of(static_cast<std::uint32_t>(any_count(in)));
    case 6:
      return bytes_of(in.one_in(4) ? in.number<float>() : in.pick(floats));
    case 8:
      return in.one_in(16) ? bytes_of(any_count(in)) : string_value(any_text(in));
    case 12:
      return bytes_of(in.one_in(4) ? in.number<double>() : double{in.pick(floats)});
    default:
      return bytes_of(any_count(in));
  }
}

/// A value and its type.
void set_value(fuzz_input& in, file_plan& f, key_record& k) {
  k.type =
      in.one_in(64) ? in.number<std::uint32_t>() : static_cast<std::uint32_t>(in.within(0, 12));
  if (k.type != 9) {
    k.value = f.keep(any_element(in, k.type));
    return;
  }
  const auto element = static_cast<std::uint32_t>(in.within(0, 13));
  const std::size_t n = in.within(0, 8);
  std::string value = bytes_of(element);
  value += bytes_of(in.one_in(16) ? any_count(in) : std::uint64_t{n});
  for (std::size_t i = 0; i < n; ++i) value += any_element(in, element);
  k.value = f.keep(std::move(value));
}

/// Changes one thing.
void spoil(fuzz_input& in, file_plan& f) {
  const auto any_key = [&]() -> key_record& {
    if (f.keys.empty()) f.keys.push_back({"another", 0, f.keep("\1")});
    return f.keys[in.within(0, f.keys.size() - 1)];
  };
  const auto any_tensor = [&]() -> tensor_record& {
    if (f.tensors.empty()) f.tensors.push_back({"another", 0, 1, {1, 1, 1, 1, 1}, 4});
    return f.tensors[in.within(0, f.tensors.size() - 1)];
  };
  const auto erase = [](auto& list, const auto& element) {
    list.erase(list.begin() + (&element - list.data()));
  };
  switch (in.within(0, 23)) {
    case 0:
      set_value(in, f, any_key());
      return;
    case 1:
    case 2:
    case 3: {
      key_record k{in.pick(key_names), 0, {}};
      set_value(in, f, k);
      for (key_record& old : f.keys)
        if (old.name == k.name && !in.one_in(16)) {
          old = k;
          return;
        }
      f.keys.push_back(k);
      return;
    }
    case 4: {  // the same type, another value
      key_record& k = any_key();
      if (k.type == 9 || k.type > 12) return;
      k.value = f.keep(any_element(in, k.type));
      return;
    }
    case 5: {  // a byte of a value
      key_record& k = any_key();
      std::string value(k.value);
      if (!value.empty()) value[in.within(0, value.size() - 1)] = static_cast<char>(in.byte());
      k.value = f.keep(std::move(value));
      return;
    }
    case 6:
      any_key().name = f.keep(any_text(in));
      return;
    case 7:
      any_key().name_length = any_count(in);
      return;
    case 8:
      erase(f.keys, any_key());
      return;
    case 9: {
      const key_record twice = any_key();
      f.keys.push_back(twice);
      return;
    }
    case 10:
      std::swap(any_key(), any_key());
      return;
    case 11:
      any_tensor().type =
          static_cast<std::uint32_t>(in.one_in(16) ? any_count(in) : in.within(0, 43));
      return;
    case 12:
      any_tensor().rank =
          static_cast<std::uint32_t>(in.one_in(16) ? any_count(in) : in.within(0, 5));
      return;
    case 13:
      any_tensor().dims[in.within(0, 3)] = any_count(in);
      return;
    case 14:
      any_tensor().offset = any_count(in);
      return;
    case 15:
      any_tensor().offset = 64 * in.within(0, 40);
      return;
    case 16:
      any_tensor().size = in.within(0, 300);
      return;
    case 17:
      any_tensor().name = in.one_in(3) ? f.keep(any_text(in)) : in.pick(tensor_names);
      return;
    case 18:
      any_tensor().name_length = any_count(in);
      return;
    case 19:
      erase(f.tensors, any_tensor());
      return;
    case 20: {
      const tensor_record twice = any_tensor();
      f.tensors.push_back(twice);
      if (in.one_in(2)) f.tensors.back().name = in.pick(tensor_names);
      return;
    }
    case 21:
      (in.one_in(2) ? f.key_count : f.tensor_count) = any_count(in);
      return;
    case 22:
      f.alignment = std::uint64_t{1} << in.within(0, 8);
      return;
    default:
      (in.one_in(2) ? f.version : f.magic) = static_cast<std::uint32_t>(any_count(in));
  }
}

void write(image_writer& w, const file_plan& f) {
  const auto align = [&](std::size_t start) {
    while ((w.size() - start) % f.alignment != 0) w.put(std::uint8_t{0});
  };
  w.clear();
  w.put(f.magic).put(f.version);
  w.put(f.tensor_count.value_or(f.tensors.size())).put(f.key_count.value_or(f.keys.size()));
  for (const key_record& k : f.keys)
    w.put(k.name_length.value_or(k.name.size())).put_text(k.name).put(k.type).put_text(k.value);
  std::uint64_t offset = 0;
  for (const tensor_record& t : f.tensors) {
    w.put(t.name_length.value_or(t.name.size())).put_text(t.name).put(t.rank);
    for (std::size_t d = 0; d < std::min<std::size_t>(t.rank, 5); ++d) w.put(t.dims[d]);
    w.put(t.type).put(t.offset.value_or(offset));
    offset = (offset + t.size + f.alignment - 1) / f.alignment * f.alignment;
  }
  if (f.tensors.empty()) return;
  align(0);
  const std::size_t start = w.size();
  for (const tensor_record& t : f.tensors) {
    align(start);
    w.resize(w.size() + t.size);
  }
  if (w.size() % 64 != 0) align(0);
}

/// Files that can be named, in memory if there is a folder for that.
class folder {
 public:
  folder()
      : path_((std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                   : std::filesystem::temp_directory_path()) /
              ("weir-fuzz-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string write(const char* name, std::span<const std::byte> image) const {
    const std::string path = path_ / name;
    const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    const ssize_t written = ::write(file, image.data(), image.size());
    check(close(file) == 0 && written == static_cast<ssize_t>(image.size()),
          "the harness writes its file");
    return path;
  }

 private:
  std::filesystem::path path_;
};

/// Every way of reading a key, whatever is in it.
void read_all(const weir::gguf_file& file) {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(file.key_count(), 40); ++i) {
    const std::string_view key = file.key(i);
    check(file.find(key) == &file.value(i), "finds each key");
    const weir::gguf_value& value = file.value(i);
    for (const std::byte b : value.bytes) sum += std::to_integer<std::size_t>(b);
    if (value.is_array() && value.element == weir::gguf_type::string) {
      std::size_t n = 0;
      for (const std::string_view text : file.get_strings(key)) {
        for (const char c : text) sum += static_cast<unsigned char>(c);
        ++n;
      }
      check(n == value.count, "as many strings as there are");
    }
  }
  for (const weir::gguf_tensor& t : file.tensors()) {
    check(file.find_tensor(t.name) == &t, "finds each tensor");
    for (const std::byte b : t.data) sum += std::to_integer<std::size_t>(b);
  }
  volatile std::size_t kept = sum;  // so that nothing is left out
  (void)kept;
}

void read_each_way(const weir::gguf_file& file, std::string_view key) {
  succeeds([&] { (void)file.get_i64(key); });
  succeeds([&] { (void)file.get_u32(key); });
  succeeds([&] { (void)file.get_f32(key); });
  succeeds([&] { (void)file.get_bool(key); });
  succeeds([&] { (void)file.get_string(key); });
  succeeds([&] { (void)file.get_floats(key); });
  succeeds([&] { (void)file.get_ints(key); });
}

/// What a model that was not refused is good for.
void use(weir::llama_model& model, bool repack) {
  const weir::llama_config& c = model.config;
  check(c.head_dim > 0 && c.head_count % c.head_count_kv == 0, "heads fit together");
  check(c.vocab_size == model.tokenizer.vocab_size(), "the vocabulary fits the embedding");
  check(model.weights.layers.size() == c.block_count, "as many layers as it says");
  if (repack) model.repack(1);
  using cache = weir::kv_cache<weir::f32, weir::keep_all>;
  succeeds([&] {
    weir::stream_decoder<cache> decoder(
        model, weir::keep_all{16},
        {.sample = {.temperature = 0}, .stream = {.chunk = 4, .threads = 1}});
    for (std::string_view piece : decoder.generate("ab a", {.max_tokens = 2})) (void)piece;
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<file_plan> models = [] {
    std::vector<file_plan> list;
    list.reserve(std::size(sizes));  // what is kept does not move
    for (const model_size& m : sizes) list.push_back(model_of(m));
    return list;
  }();
  static const folder files;
  fuzz_input in(data, size);
  const file_plan& model = models[in.within(0, std::size(sizes) - 1)];
  file_plan f;
  f.keys = model.keys;
  f.tensors = model.tensors;
  enum { in_memory, one_file, two_files } where = in_memory;
  if (in.one_in(12)) where = in.one_in(2) ? two_files : one_file;
  const bool map = !in.one_in(4), second_named = in.one_in(2);

  // Of two parts the second is spoilt, or the first, which then has the rest of the model.
  static image_writer image;
  if (where == two_files) {
    file_plan part;
    const std::size_t first = in.within(0, f.tensors.size());
    const auto split = [&](file_plan& to, std::uint16_t number) {
      to.keys.push_back({"split.no", 2, f.keep(bytes_of(number))});
      to.keys.push_back({"split.count", 2, f.keep(bytes_of(std::uint16_t{2}))});
      to.keys.push_back({"split.tensors.count", 5,
                         f.keep(bytes_of(static_cast<std::int32_t>(model.tensors.size())))});
    };
    part.tensors.assign(f.tensors.begin(), f.tensors.begin() + static_cast<std::ptrdiff_t>(first));
    f.tensors.erase(f.tensors.begin(), f.tensors.begin() + static_cast<std::ptrdiff_t>(first));
    part.alignment = 32;
    split(part, second_named ? 0 : 1);
    split(f, second_named ? 1 : 0);
    if (in.one_in(4)) spoil(in, part);
    write(image, part);
    files.write(second_named ? "m-00001-of-00002.gguf" : "m-00002-of-00002.gguf", image.bytes());
  }

  for (std::size_t n = size == 0 ? 0 : in.within(0, 5); n > 0; --n) spoil(in, f);
  write(image, f);
  std::size_t end = image.size();
  if (in.one_in(8)) end = std::min<std::size_t>(end, in.within(0, 4095));  // cut short
  if (in.one_in(4)) end = end / 64 * 64;
  for (std::size_t n = in.within(0, 7); n > 5 && end > 0; --n)
    *image.at(in.number<std::uint16_t>() % end) = std::byte{in.byte()};
  const auto bytes = image.bytes().first(end);

  const bool use_it = in.one_in(4), repack = in.one_in(2);
  std::optional<weir::gguf_file> file;
  const bool opened = succeeds([&] {
    if (where == in_memory)
      file.emplace(bytes);
    else if (where == one_file)
      file.emplace(files.write("model.gguf", bytes), weir::gguf_options{.map = map});
    else
      file.emplace(
          files.write(second_named ? "m-00002-of-00002.gguf" : "m-00001-of-00002.gguf", bytes),
          weir::gguf_options{.map = map});
  });
  if (!opened) return 0;
  read_all(*file);
  read_each_way(*file, in.pick(key_names));
  succeeds([&] {
    weir::llama_model loaded(std::move(*file));
    if (use_it || size == 0) use(loaded, repack);
  });
  return 0;
}
