// Models in several files: whole whichever part is named, refused when the parts are not one model.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"
#include "support/split_model.hpp"
#include "support/temporary_folder.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/load_model.hpp>

using weir::gguf_file;
using namespace weir_test;
using parts = std::initializer_list<std::string_view>;

namespace {

/// Every part of the set is refused, for the same reason.
void refused(const split_model& set, parts where) {
  const temporary_folder folder("split");
  for (const std::string& path : set.write(folder)) {
    INFO(path);
    require_refused<weir::error::bad_file>([&] { gguf_file f(path); }, where);
  }
}

/// All tensors of `whole` are in `f`, and nothing else.
void require_same_tensors(const gguf_file& f, const gguf_file& whole) {
  REQUIRE(f.tensors().size() == whole.tensors().size());
  for (const weir::gguf_tensor& t : whole.tensors()) {
    const weir::gguf_tensor& found = f.tensor(t.name);
    REQUIRE(found.type == t.type);
    REQUIRE(found.dims == t.dims);
    REQUIRE(std::ranges::equal(found.data, t.data));
    REQUIRE(reinterpret_cast<std::uintptr_t>(found.data.data()) % f.alignment() == 0);
  }
}

gguf_builder& set_u16(gguf_builder& part, const char* key, std::uint16_t value) {
  return part.set_raw(key, 2, byte_writer().put(value));
}

}  // namespace

TEST_CASE("a split model is whole, whichever part is named and however it is brought in") {
  const gguf_builder one = least_llama();
  const gguf_file whole(one.build());
  const auto count = GENERATE(as<std::uint16_t>{}, 2, 3, 11);
  const bool map = GENERATE(true, false);
  split_model set(one, count);
  const temporary_folder folder("split");
  for (const std::string& path : set.write(folder)) {
    const weir::llama_model model = weir::load_model(path, {.map = map});
    require_same_tensors(model.file, whole);
    REQUIRE(model.file.name() == path);
    REQUIRE(model.file.key_count() == whole.key_count() + 3);
    REQUIRE(model.file.get_string("general.name") == whole.get_string("general.name"));
    REQUIRE(model.tokenizer.vocab_size() == 6);
    REQUIRE(model.weights.layers.size() == 1);
  }
}

TEST_CASE("parts are found beside the named one from any folder") {
  split_model set(least_llama(), 2);
  const temporary_folder folder("split-00001-of-00002.gguf");
  set.write(folder);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path(""));
  REQUIRE(gguf_file(set.name(1)).tensors().size() == 11);
  std::filesystem::current_path(before);
}

TEST_CASE("a first part without tensors, equal keys in all parts, keys in later ones are fine") {
  const gguf_builder one = least_llama();
  const gguf_file whole(one.build());
  split_model set(one, 3);
  SECTION("a first part without tensors") {
    auto& to = set.parts[1].tensors;
    to.insert(to.begin(), set.parts[0].tensors.begin(), set.parts[0].tensors.end());
    set.parts[0].tensors.clear();
  }
  SECTION("equal keys in all parts, keys in later ones") {
    for (auto& p : set.parts) p.set("general.name", "tiny");
    set.parts[2].set("general.author", "somebody");
  }
  SECTION("each part has an alignment of its own") {
    set.parts[1].alignment = 4096;
    set.parts[1].set("general.alignment", std::uint32_t{4096});
  }
  SECTION("numbers of parts in other widths") {
    for (std::size_t i = 0; i < 3; ++i) {
      set.parts[i].set("split.no", static_cast<std::uint64_t>(i));
      set.parts[i].set("split.count", std::int32_t{3});
      set.parts[i].set("split.tensors.count", std::uint64_t{11});
    }
  }
  const temporary_folder folder("split");
  for (const std::string& path : set.write(folder)) {
    const gguf_file f(path);
    require_same_tensors(f, whole);
    REQUIRE(f.get_string("general.author", "none") ==
            (set.parts[2].keys.size() > 4 ? "somebody" : "none"));
  }
}

TEST_CASE("a file that is all of its model needs no others, whatever its name") {
  const auto count = GENERATE(as<std::uint16_t>{}, 0, 1);  // 0: joined from parts
  gguf_builder one = least_llama();
  set_u16(one, "split.no", 0);
  set_u16(one, "split.count", count).set("split.tensors.count", std::int32_t{11});
  REQUIRE(gguf_file(one.build()).tensors().size() == 11);
  const temporary_folder folder("split");
  REQUIRE(gguf_file(folder.write("any.gguf", one.build())).tensors().size() == 11);
}

TEST_CASE("views survive moving a split model") {
  const temporary_folder folder("split");
  gguf_file a(split_model(least_llama(), 3).write(folder)[1]);
  const std::string_view name = a.get_string("general.name");
  const std::byte* const data = a.tensor("output_norm.weight").data.data();
  const gguf_file b(std::move(a));
  REQUIRE(b.get_string("general.name").data() == name.data());
  REQUIRE(b.tensor("output_norm.weight").data.data() == data);
}

// --- sets that are no model ---

TEST_CASE("a missing part is named") {
  const auto lost = GENERATE(as<std::size_t>{}, 0, 1, 2);
  split_model set(least_llama(), 3);
  const temporary_folder folder("split");
  const auto paths = set.write(folder);
  std::filesystem::remove(paths[lost]);
  for (std::size_t i = 0; i < 3; ++i)
    if (i != lost)
      require_refused<weir::error::bad_file>(
          [&] { gguf_file f(paths[i]); },
          {paths[i], "part " + std::to_string(i + 1) + " of 3", paths[lost], "missing"});
}

TEST_CASE("a part that is renamed, alone or wrongly named is refused") {
  split_model set(least_llama(), 3);
  const temporary_folder folder("split");
  set.write(folder);
  const auto named = [&](const std::string& name, parts where) {
    const std::string path = folder.write(name, set.parts[1].build());
    require_refused<weir::error::bad_file>([&] { gguf_file f(path); }, {path, "part 2 of 3"});
    require_refused<weir::error::bad_file>([&] { gguf_file f(path); }, where);
  };
  named("model.gguf", {"expected a name that ends in '-00002-of-00003.gguf'"});
  named("-00002-of-00003", {"expected a name"});
  named("m-00001-of-00003.gguf", {"expected a name that ends in '-00002-of-00003.gguf'"});
  named("m-00002-of-00002.gguf", {"expected a name that ends in '-00002-of-00003.gguf'"});
}

TEST_CASE("a part in memory is refused") {
  const bytes image = split_model(least_llama(), 3).parts[1].build();
  require_refused<weir::error::bad_file>(
      [&] { gguf_file f(image, "m-00002-of-00003.gguf"); },
      {"m-00002-of-00003.gguf", "part 2 of 3", "expected a whole model"});
}

TEST_CASE("a part in another's place is refused, whichever is named") {
  split_model set(least_llama(), 3);
  set_u16(set.parts[1], "split.no", GENERATE(as<std::uint16_t>{}, 0, 2, 3, 65535));
  const temporary_folder folder("split");
  const auto paths = set.write(folder);
  require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); },
                                         {paths[1], "'split.no'", "expected 1"});
  require_refused<weir::error::bad_file>([&] { gguf_file f(paths[1]); }, {paths[1]});
}

TEST_CASE("parts that count differently are refused") {
  split_model set(least_llama(), 3);
  const temporary_folder folder("split");
  set_u16(set.parts[1], "split.count", GENERATE(as<std::uint16_t>{}, 0, 1, 2, 4, 65535));
  const auto paths = set.write(folder);
  require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); },
                                         {paths[1], "'split.count'", "expected 3"});
}

TEST_CASE("counts of parts that no folder holds are refused at once") {
  const auto count = GENERATE(as<std::uint32_t>{}, 4, 99999, 100000, 0x7FFFFFFF, 0xFFFFFFFF);
  split_model set(least_llama(), 3);
  for (auto& p : set.parts) p.set("split.count", count);
  const temporary_folder folder("split");
  set.write(folder);
  std::string end = std::to_string(count);
  end.insert(0, end.size() < 5 ? 5 - end.size() : 0, '0');
  require_refused<weir::error::bad_file>([&] { gguf_file f(folder.path(set.name(0))); },
                                         {"expected a name that ends in '-00001-of-" + end});
  const std::string path = folder.path("m-00001-of-" + end + ".gguf");
  std::filesystem::copy_file(folder.path(set.name(0)), path);
  require_refused<weir::error::bad_file>([&] { gguf_file f(path); },
                                         {path, "m-00002-of-" + end + ".gguf", "missing"});
}

TEST_CASE("split keys that are missing or of the wrong type are refused") {
  split_model set(least_llama(), 2);
  SECTION("no number") {
    for (auto& p : set.parts) p.erase("split.no");
    refused(set, {"'split.no'", "missing"});
  }
  SECTION("no count of tensors") {
    for (auto& p : set.parts) p.erase("split.tensors.count");
    refused(set, {"'split.tensors.count'", "missing"});
  }
  SECTION("a count that is text") {
    for (auto& p : set.parts) p.set("split.count", "2");
    refused(set, {"'split.count'", "string", "expected uint32"});
  }
  SECTION("a count below 0") {
    for (auto& p : set.parts) p.set("split.count", std::int32_t{-2});
    refused(set, {"'split.count'", "-2"});
  }
}

TEST_CASE("tensors that are in two parts are refused") {
  split_model set(least_llama(), 3);
  const auto repeated = set.parts[0].tensors[0];
  set.parts[2].tensors.push_back(repeated);
  refused(set, {set.name(2), "tensor '" + repeated.name + "'", "another part"});
}

TEST_CASE("more or fewer tensors than the parts say are refused") {
  split_model set(least_llama(), 3);
  const auto stated = GENERATE(as<std::int32_t>{}, -1, 0, 10, 12, 0x7FFFFFFF);
  for (auto& p : set.parts) p.set("split.tensors.count", stated);
  refused(set, {"'split.tensors.count'", std::to_string(stated), "3 parts", "11 tensors"});
}

TEST_CASE("parts of two models are refused by the key that tells them apart") {
  split_model set(least_llama(), 2);
  SECTION("by the number of tensors") {
    set.parts[1].set("split.tensors.count", std::int32_t{12});
    refused(set, {set.name(1), "'split.tensors.count'", "another value"});
  }
  SECTION("by a key of the model") {
    set.parts[1].set("general.name", "other");
    refused(set, {set.name(1), "'general.name'", "another value"});
  }
  SECTION("by the type of a key") {
    set.parts[1].set("general.name", std::uint32_t{5});
    refused(set, {set.name(1), "'general.name'", "another value"});
  }
}

TEST_CASE("a broken part is refused by its own name") {
  split_model set(least_llama(), 3);
  const temporary_folder folder("split");
  const auto paths = set.write(folder);
  SECTION("cut short") {
    std::filesystem::resize_file(paths[2], std::filesystem::file_size(paths[2]) - 1);
    require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); }, {paths[2], "tensor"});
  }
  SECTION("empty") {
    std::filesystem::resize_file(paths[2], 0);
    require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); },
                                           {paths[2], "empty file"});
  }
  SECTION("a folder") {
    std::filesystem::remove(paths[2]);
    std::filesystem::create_directory(paths[2]);
    require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); },
                                           {paths[2], "not a regular file"});
  }
  SECTION("a key twice") {
    set.parts[2].keys.push_back(set.parts[2].keys[0]);
    set.write(folder);
    require_refused<weir::error::bad_file>([&] { gguf_file f(paths[0]); }, {paths[2], "twice"});
  }
}
