// Valid GGUF files: every value type, tensors, look-up, lifetime.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"
#include "support/shared.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

using weir::ggml_type;
using weir::gguf_file;
using namespace weir_test;

TEST_CASE("every scalar type is read") {
  gguf_builder b;
  b.set_raw("u8", 0, byte_writer().put<std::uint8_t>(200));
  b.set_raw("i8", 1, byte_writer().put<std::int8_t>(-3));
  b.set_raw("u16", 2, byte_writer().put<std::uint16_t>(60000));
  b.set_raw("i16", 3, byte_writer().put<std::int16_t>(-300));
  b.set("u32", std::uint32_t{4000000000u}).set("i32", std::int32_t{-7}).set("f32", 0.5f);
  b.set("yes", true).set("no", false).set("text", "abc").set("u64", std::uint64_t{1} << 40);
  b.set_raw("i64", 11, byte_writer().put<std::int64_t>(-1));
  b.set_raw("f64", 12, byte_writer().put<double>(0.25));
  const gguf_file f(b.build());
  REQUIRE(f.key_count() == 13);
  REQUIRE(f.get_u32("u32") == 4000000000u);
  REQUIRE(f.get_f32("f32") == 0.5f);
  REQUIRE(f.get_bool("yes"));
  REQUIRE(!f.get_bool("no"));
  REQUIRE(f.get_string("text") == "abc");
  REQUIRE(f.find("u64")->type == weir::gguf_type::uint64);
  REQUIRE(f.find("u64")->bytes.size() == 8);
  REQUIRE(f.find("i16")->bytes.size() == 2);
  REQUIRE(f.key(0) == "u8");
  REQUIRE(f.value(0).bytes[0] == std::byte{200});
}

TEST_CASE("arrays of every flat type are read") {
  gguf_builder b;
  b.set("strings", std::vector<std::string>{"one", "", "three"});
  b.set("floats", std::vector<float>{1.5f, -2.0f});
  b.set("ints", std::vector<std::int32_t>{-1, 2, 3});
  b.set("none", std::vector<std::int32_t>{});
  b.set_raw("bools", 9,
            byte_writer().put<std::uint32_t>(7).put<std::uint64_t>(2).put_text(
                std::string_view("\0\1", 2)));
  b.set_raw("doubles", 9,
            byte_writer().put<std::uint32_t>(12).put<std::uint64_t>(1).put<double>(0.25));
  const gguf_file f(b.build());
  const auto strings = f.get_strings("strings");
  REQUIRE(std::vector<std::string>(strings.begin(), strings.end()) ==
          std::vector<std::string>{"one", "", "three"});
  REQUIRE(strings.size() == 3);
  REQUIRE(f.get_floats("floats").size() == 2);
  REQUIRE(f.get_floats("floats")[1] == -2.0f);
  REQUIRE(f.get_ints("ints")[0] == -1);
  REQUIRE(f.get_ints("none").empty());
  REQUIRE(f.find("bools")->count == 2);
  REQUIRE(f.find("doubles")->element == weir::gguf_type::float64);
}

TEST_CASE("arrays of numbers are read whatever width they are stored in") {
  gguf_builder b;
  std::size_t types = 0;
  for_each_integer_array(b, "ints", {1, 0, 127}, [&](std::uint32_t type) {
    INFO(type);
    ++types;
    const gguf_file f(b.build());
    const auto ints = f.get_ints("ints");
    REQUIRE(ints.size() == 3);
    REQUIRE((ints[0] == 1 && ints[1] == 0 && ints[2] == 127));
  });
  REQUIRE(types == 8);
  constexpr std::int32_t least = std::numeric_limits<std::int32_t>::min();
  b.set_array("ints", 11, std::vector<std::int64_t>{least, -1});
  b.set_array("doubles", 12, std::vector<double>{1.5, -1e30, 0.1, 0.0});
  const gguf_file f(b.build());
  REQUIRE(f.get_ints("ints")[0] == least);
  REQUIRE(f.get_ints("ints")[1] == -1);
  const auto floats = f.get_floats("doubles");
  REQUIRE(floats.size() == 4);
  REQUIRE((floats[0] == 1.5f && floats[1] == -1e30f && floats[2] == 0.1f && floats[3] == 0.0f));
}

TEST_CASE("numbers that the wanted type cannot hold are refused") {
  const auto bad = [](const gguf_builder& b, auto call,
                      std::initializer_list<std::string_view> parts) {
    const gguf_file f(b.build());
    require_refused<weir::error::bad_file>([&] { call(f); }, parts);
  };
  const auto ints = [](const gguf_file& f) { f.get_ints("k"); };
  const auto floats = [](const gguf_file& f) { f.get_floats("k"); };
  const auto one = [](const gguf_file& f) { f.get_f32("k"); };
  gguf_builder b;
  bad(b.set_array("k", 4, std::vector<std::uint32_t>{5, 2147483648u}), ints,
      {"'k'", "2147483648", "element 1", "expected -2147483648 to 2147483647"});
  bad(b.set_array("k", 10, std::vector<std::uint64_t>{~std::uint64_t{0}}), ints,
      {"'k'", "18446744073709551615", "element 0"});
  bad(b.set_array("k", 11, std::vector<std::int64_t>{-2147483649}), ints, {"-2147483649"});
  bad(b.set_array("k", 7, std::vector<std::uint8_t>{1}), ints, {"array of bool"});
  const double wide = GENERATE(1e-60, -1e-60, 1e-40, 1e300, -1e39, 5e-324);
  bad(b.set_array("k", 12, std::vector<double>{1.0, wide}), floats,
      {"'k'", "element 1", "expected a number that float32 can hold"});
  bad(b.set_raw("k", 12, byte_writer().put(wide)), one,
      {"'k'", "expected a number that float32 can hold"});
}

TEST_CASE("a double that is a float, or near one, is read as that") {
  using limits = std::numeric_limits<float>;
  const double wide =
      GENERATE(as<double>{}, 0.0, -0.0, 1e-5, 5e5, limits::max(), limits::lowest(), limits::min(),
               limits::denorm_min(), limits::infinity(), -limits::infinity());
  gguf_builder b;
  b.set_raw("k", 12, byte_writer().put(wide));
  REQUIRE(gguf_file(b.build()).get_f32("k") == static_cast<float>(wide));
  b.set_raw("k", 12, byte_writer().put(std::numeric_limits<double>::quiet_NaN()));
  REQUIRE(std::isnan(gguf_file(b.build()).get_f32("k")));
}

TEST_CASE("a missing key throws unless a default is given, a wrong type always throws") {
  gguf_builder b;
  b.set("n", std::uint32_t{5}).set("f", 1.0f).set("a", std::vector<float>{1.0f});
  const gguf_file f(b.build(), "x.gguf");
  REQUIRE(f.get_u32("absent", 9) == 9);
  REQUIRE(f.get_f32("absent", 0.5f) == 0.5f);
  REQUIRE(f.get_bool("absent", true));
  REQUIRE(f.get_string("absent", "d") == "d");
  REQUIRE(f.get_u32("n", 9) == 5);
  const auto bad = [](auto call, std::initializer_list<std::string_view> parts) {
    require_refused<weir::error::bad_file>(call, parts);
  };
  bad([&] { f.get_u32("absent"); }, {"x.gguf", "'absent'", "missing"});
  bad([&] { f.get_u32("f"); }, {"'f'", "float32", "expected uint32"});
  bad([&] { f.get_u32("f", 9); }, {"'f'", "float32", "expected uint32"});
  bad([&] { f.get_f32("a"); }, {"'a'", "array of float32", "expected float32"});
  bad([&] { f.get_string("n", "d"); }, {"'n'", "uint32", "expected string"});
  bad([&] { f.get_bool("n"); }, {"'n'", "uint32", "expected bool"});
  bad([&] { f.get_floats("f"); }, {"'f'", "expected array of float32"});
  bad([&] { f.get_ints("a"); }, {"'a'", "array of float32", "expected array of int32"});
  bad([&] { f.get_strings("absent"); }, {"'absent'", "missing"});
  bad([&] { f.tensor("t"); }, {"tensor 't'", "missing"});
}

TEST_CASE("versions 2 and 3 read alike") {
  gguf_builder b = least_llama();
  b.version = 2;
  const gguf_file f(b.build());
  REQUIRE(f.version() == 2);
  REQUIRE(f.tensors().size() == b.tensors.size());
}

TEST_CASE("tensors are found by name, with type, dimensions and data") {
  const bytes data(4 * 6 * 2, std::byte{7});
  gguf_builder b;
  b.add_tensor("first", ggml_type::float32, {3}, bytes(12, std::byte{1}));
  b.add_tensor("second", ggml_type::float16, {6, 4}, data);
  const gguf_file f(b.build());
  REQUIRE(f.tensors().size() == 2);
  const weir::gguf_tensor* t = f.find_tensor("second");
  REQUIRE(t != nullptr);
  REQUIRE(t->name == "second");
  REQUIRE(t->type == ggml_type::float16);
  REQUIRE(t->rank == 2);
  REQUIRE(t->dims == std::array<std::uint64_t, 4>{6, 4, 1, 1});
  REQUIRE(t->offset == 32);
  REQUIRE(bytes(t->data.begin(), t->data.end()) == data);
  REQUIRE(reinterpret_cast<std::uintptr_t>(t->data.data()) % 32 == 0);
  REQUIRE(f.find_tensor("third") == nullptr);
}

TEST_CASE("every valid type may lie in the container, but not all can be used") {
  for (std::uint32_t id = 0; id < 42; ++id) {
    const auto type = static_cast<ggml_type>(id);
    const weir::ggml_type_layout* layout = weir::layout_of(type);
    if (layout == nullptr) continue;
    gguf_builder b;
    b.add_tensor("w", type, {layout->elements, 2}, bytes(layout->bytes * 2));
    const gguf_file f(b.build());
    REQUIRE(f.tensor("w").data.size() == layout->bytes * 2);
    const auto supported = {0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30};
    if (std::find(supported.begin(), supported.end(), static_cast<int>(id)) != supported.end())
      f.require_supported(f.tensor("w"));
    else
      require_refused<weir::error::bad_file>([&] { f.require_supported(f.tensor("w")); },
                                             {"'w'", layout->name, "expected F32"});
  }
}

TEST_CASE("another alignment is honoured") {
  gguf_builder b = least_llama();
  b.alignment = 4096;
  b.set("general.alignment", std::uint32_t{4096});
  const gguf_file f(b.build());
  REQUIRE(f.alignment() == 4096);
  for (const auto& t : f.tensors()) REQUIRE(t.offset % 4096 == 0);
}

TEST_CASE("views survive moving the file") {
  gguf_file a(least_llama().build());
  const std::string_view name = a.get_string("general.name");
  const std::byte* const data = a.tensor("output_norm.weight").data.data();
  gguf_file b(std::move(a));
  REQUIRE(b.get_string("general.name").data() == name.data());
  REQUIRE(b.tensor("output_norm.weight").data.data() == data);
  gguf_file c{gguf_builder().build()};
  c = std::move(b);
  REQUIRE(c.find_tensor("output_norm.weight")->data.data() == data);
}

TEST_CASE("a file on disk reads as its image in memory") {
  const bytes image = least_llama().build();
  const auto path = std::filesystem::temp_directory_path() /
                    ("weir-gguf-" + std::to_string(::getpid()) + ".gguf");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  {
    const gguf_file disk(path);
    const gguf_file memory(image);
    REQUIRE(disk.name() == path.string());
    REQUIRE(disk.key_count() == memory.key_count());
    for (std::size_t i = 0; i < disk.tensors().size(); ++i) {
      const auto& a = disk.tensors()[i];
      const auto& b = memory.tensors()[i];
      REQUIRE(a.name == b.name);
      REQUIRE(std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end()));
    }
  }
  std::filesystem::remove(path);
}

TEST_CASE("paths that hold no file are refused by name") {
  const auto folder = std::filesystem::temp_directory_path();
  require_refused<weir::error::bad_file>([&] { gguf_file f(folder); }, {folder.string()});
  require_refused<weir::error::bad_file>([&] { gguf_file f(folder / "weir-no-such-file"); },
                                         {"weir-no-such-file", "cannot be opened"});
  require_refused<weir::error::bad_file>([&] { gguf_file f(std::filesystem::path("/dev/null")); },
                                         {"/dev/null", "not a regular file"});
}

TEST_CASE("a built model loads whole, in every weight type, tied or not") {
  const auto type =
      GENERATE(ggml_type::float32, ggml_type::float16, ggml_type::bfloat16, ggml_type::q8_0);
  const bool tied = GENERATE(true, false);
  tiny_llama_options o;
  o.type = type;
  o.tied = tied;
  const gguf_file f(tiny_llama(o).build());
  const weir::llama_config c = weir::read_llama_config(f);
  REQUIRE(c.head_dim == 16);
  REQUIRE(c.rope_dimension_count == 16);
  REQUIRE(c.vocab_size == 320);
  REQUIRE(c.rope_freq_base == 10000.0);
  REQUIRE(c.rms_epsilon == 1e-5f);
  const weir::llama_weights w = weir::read_llama_weights(f, c);
  REQUIRE(w.layers.size() == 2);
  REQUIRE((w.output.data == w.token_embedding.data) == tied);
  REQUIRE(static_cast<std::uint32_t>(w.layers[1].down.type) == static_cast<std::uint32_t>(type));
  REQUIRE(w.layers[1].down.rows == 32);
  REQUIRE(w.layers[1].down.cols == 64);
  REQUIRE(w.layers[1].down.data == f.tensor("blk.1.ffn_down.weight").data.data());
  REQUIRE(w.layers[1].down.bytes() == f.tensor("blk.1.ffn_down.weight").data.size());
  REQUIRE(w.layers[0].k.rows == 16);
  REQUIRE(w.output_norm.size() == 32);
  REQUIRE(weir::tokenizer(f).vocab_size() == c.vocab_size);
}

TEST_CASE("a file with a vocabulary alone loads, but is no model") {
  gguf_builder b;
  tiny_vocabulary::least().write_to(b);
  const gguf_file f(b.build());
  REQUIRE(f.tensors().empty());
  REQUIRE(weir::tokenizer(f).vocab_size() == 4);
}

TEST_CASE("reference models load") {
  for (const char* name :
       {"models/weir-tiny-f16.gguf", "models/weir-nano-f16.gguf", "models/stories260K-f32.gguf"}) {
    const auto path = shared(name);
    if (!path) return;
    const gguf_file f(*path);
    const weir::llama_config c = weir::read_llama_config(f);
    REQUIRE(weir::read_llama_weights(f, c).layers.size() == c.block_count);
    REQUIRE(weir::tokenizer(f).vocab_size() == c.vocab_size);
    REQUIRE(c.context_length == 512);
  }
}
