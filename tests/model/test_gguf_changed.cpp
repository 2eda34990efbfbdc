// Files that somebody writes into, or cuts short, while they are open.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/load_model.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

using weir::gguf_file;
using namespace weir_test;

namespace {

/// The bytes of a file, to be written into while others read them.
class shared_mapping {
 public:
  explicit shared_mapping(const std::string& path) : size_(std::filesystem::file_size(path)) {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* const data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    REQUIRE(data != MAP_FAILED);
    data_ = static_cast<std::byte*>(data);
  }
  shared_mapping(const shared_mapping&) = delete;
  shared_mapping& operator=(const shared_mapping&) = delete;
  ~shared_mapping() { ::munmap(data_, size_); }

  std::span<std::byte> bytes() { return {data_, size_}; }

 private:
  std::size_t size_;
  std::byte* data_;
};

/// Everything that a file says about itself, as text.
std::vector<std::string> all_metadata(const gguf_file& f) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < f.key_count(); ++i) {
    all.emplace_back(f.key(i));
    const weir::gguf_value& v = f.value(i);
    if (v.is_array() && v.element == weir::gguf_type::string) {
      std::size_t left = v.count;
      for (const std::string_view s : f.get_strings(f.key(i))) {
        if (left-- == 0 || s.size() > 1000) return {"a walk has left its array"};
        all.emplace_back(s);
      }
    } else {
      all.emplace_back(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size());
    }
  }
  for (const weir::gguf_tensor& t : f.tensors()) all.emplace_back(t.name);
  return all;
}

}  // namespace

TEST_CASE("what is written into the records of an open file changes nothing") {
  const temporary_folder folder("changed");
  const byte_writer whole = least_llama().write();
  const auto expected = all_metadata(gguf_file(whole.data));

  // Every number of the records, one after the other; then all of their bytes.
  const std::string path = folder.write("a.gguf", whole.data);
  const gguf_file f(path);
  shared_mapping file(path);
  for (const byte_writer::field field : whole.fields)
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{3}, ~std::uint64_t{0}}) {
      std::memcpy(file.bytes().data() + field.offset, &value, field.size);
      REQUIRE(all_metadata(f) == expected);
      std::memcpy(file.bytes().data() + field.offset, whole.data.data() + field.offset, field.size);
    }
  std::memset(file.bytes().data(), 0xFF, whole.fields.back().offset + 8);
  REQUIRE(all_metadata(f) == expected);
  REQUIRE(weir::tokenizer(f).vocab_size() == 6);
  const weir::llama_config c = weir::read_llama_config(f);
  REQUIRE(weir::read_llama_weights(f, c).layers.size() == 1);
}

TEST_CASE("a file that changes while it is loaded is refused or gives views within itself") {
  const temporary_folder folder("changing");
  const gguf_builder model = least_llama();
  const byte_writer whole = model.write();
  const std::string path = folder.write("a.gguf", whole.data);
  shared_mapping file(path);

  // The last tensor's offset, and the length of the vocabulary's first token.
  const std::size_t offset = whole.fields.back().offset;
  std::uint64_t first = 0;
  std::memcpy(&first, whole.data.data() + offset, 8);
  const auto token =
      std::search(whole.data.begin(), whole.data.end(), reinterpret_cast<const std::byte*>("<unk>"),
                  reinterpret_cast<const std::byte*>("<unk>") + 5);
  const std::size_t length = static_cast<std::size_t>(token - whole.data.begin()) - 8;

  std::atomic<bool> done = false;
  std::thread writer([&] {
    const auto put = [&](std::size_t at, std::uint64_t value) {
      std::memcpy(file.bytes().data() + at, &value, 8);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    };
    while (!done) {
      put(offset, first + (std::uint64_t{1} << 40));
      put(offset, first);
      put(length, 5 + (std::uint64_t{1} << 33));
      put(length, 5);
    }
  });
  bool within = true;
  for (int i = 0; i < 4000; ++i) {
    try {
      const gguf_file f(path);
      const auto all = all_metadata(f);
      within = within && all.size() > 1;
      const std::byte* const start = f.tensors()[0].data.data() - f.tensors()[0].offset;
      for (const weir::gguf_tensor& t : f.tensors())
        within = within && t.data.data() >= start &&
                 t.data.data() + t.data.size() <= start + whole.data.size();
    } catch (const weir::error::bad_file&) {
    }
  }
  done = true;
  writer.join();
  REQUIRE(within);
}

TEST_CASE("a model that is read instead of mapped stays as it was") {
  const temporary_folder folder("read");
  const bytes image = least_llama().build();
  const std::string path = folder.write("a.gguf", image);
  const weir::llama_model model = weir::load_model(path, {.map = false});
  const bool cut = GENERATE(false, true);
  if (cut)
    std::filesystem::resize_file(path, 0);
  else
    folder.write("a.gguf", bytes(image.size(), std::byte{0xFF}));

  const gguf_file expected(image);
  REQUIRE(all_metadata(model.file) == all_metadata(expected));
  REQUIRE(model.file.tensors().size() == expected.tensors().size());
  for (const weir::gguf_tensor& t : model.file.tensors()) {
    const auto& data = expected.tensor(t.name).data;
    REQUIRE(bytes(t.data.begin(), t.data.end()) == bytes(data.begin(), data.end()));
    REQUIRE(reinterpret_cast<std::uintptr_t>(t.data.data()) % 32 == 0);
  }
  REQUIRE(model.file.name() == path);
}

TEST_CASE("what cannot be mapped cannot be read instead") {
  const temporary_folder folder("refused");
  const std::string empty = folder.write("empty.gguf", {});
  require_refused<weir::error::bad_file>([&] { gguf_file f(empty, {.map = false}); },
                                         {empty, "empty file"});
  const std::string missing = folder.path("missing.gguf");
  require_refused<weir::error::bad_file>([&] { gguf_file f(missing, {.map = false}); },
                                         {missing, "cannot be opened"});
  require_refused<weir::error::bad_file>([&] { gguf_file f(folder.path(""), {.map = false}); },
                                         {"not a regular file"});
}
