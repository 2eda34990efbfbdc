// Memory of loading and of streaming text: bounded by the file, given back after every failure,
// and none at all for a token.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/split_model.hpp"
#include "support/temporary_folder.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

namespace {

struct {
  bool on = false;
  std::size_t calls = 0;
  std::size_t largest = 0;
  std::size_t fail_at = 0;  // the number of the call that fails; 0: none
  long balance = 0;         // blocks handed out and not given back
} tally;

void* take(std::size_t size, std::size_t alignment) {
  if (tally.on) {
    ++tally.calls;
    tally.largest = std::max(tally.largest, size);
    if (tally.calls == tally.fail_at) throw std::bad_alloc();
  }
  void* p = nullptr;
  if (::posix_memalign(&p, std::max(alignment, sizeof(void*)), size + (size == 0)) != 0)
    throw std::bad_alloc();
  ++tally.balance;
  return p;
}

void give(void* p) noexcept {
  if (p == nullptr) return;
  --tally.balance;
  std::free(p);
}

}  // namespace

void* operator new(std::size_t size) { return take(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t a) {
  return take(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return take(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* p) noexcept { give(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete(void* p, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give(p); }

using namespace weir_test;

namespace {

template <class F>
void counted(std::size_t fail_at, const F& f) {
  const long balance = tally.balance;
  tally = {true, 0, 0, fail_at, balance};
  f();
  tally.on = false;
  const long after = tally.balance;
  REQUIRE(after == balance);
}

void load(const bytes& image) {
  const weir::gguf_file f(image);
  const weir::tokenizer t(f);
  const weir::llama_weights w = weir::read_llama_weights(f, weir::read_llama_config(f));
  (void)w;
}

/// True if memory was lacking, by whichever error says so.
template <class F>
bool lacks_memory(const F& f) {
  try {
    f();
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const weir::error::out_of_memory&) {
    return true;
  }
}

/// Loads, or throws an error of weir's.
void try_load(const bytes& image) {
  try {
    load(image);
  } catch (const weir::error::base&) {
  }
}

}  // namespace

TEST_CASE("no count or length makes a load ask for more than the file and 1 MiB") {
  const byte_writer whole = least_llama().write();
  std::size_t largest = 0;
  for (const byte_writer::field f : whole.fields)
    for (const std::uint64_t value :
         {std::uint64_t{0xFFFFFFFF}, std::uint64_t{1} << 28, std::uint64_t{1} << 40,
          ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
      bytes mutant = whole.data;
      std::memcpy(mutant.data() + f.offset, &value, f.size);
      counted(0, [&] { try_load(mutant); });
      largest = std::max(largest, tally.largest);
    }
  REQUIRE(largest <= whole.data.size() + (1u << 20));
}

TEST_CASE("tables of what was checked take a fixed number of bytes a record") {
  gguf_builder b;
  std::size_t records = 0;
  SECTION("keys of the least size") {
    records = 60000;
    for (std::size_t i = 0; i < records; ++i) {
      const auto letter = [](std::size_t n) { return static_cast<char>('0' + n % 40); };
      b.keys.push_back(
          {{letter(i), letter(i / 40), letter(i / 1600)}, 0, byte_writer().put<std::uint8_t>(0)});
    }
    b.keys.resize(records);
  }
  SECTION("an array of empty strings needs no table") {
    b.set("list", std::vector<std::string>(300000));
  }
  const bytes image = b.build();
  counted(0, [&] { weir::gguf_file f(image); });
  REQUIRE(tally.largest <= std::max(image.size() + 64, 64 * records));
}

TEST_CASE("when any one allocation of a load fails, everything is given back") {
  tiny_llama_options o;
  o.vocabulary = tiny_vocabulary::of_size(300);
  const bytes image = tiny_llama(o).build();
  counted(0, [&] { load(image); });
  const std::size_t calls = tally.calls;
  REQUIRE(calls > 10);
  for (std::size_t n = 1; n <= calls; ++n) {
    bool failed = false;
    counted(n, [&] { failed = lacks_memory([&] { load(image); }); });
    REQUIRE(failed);
  }
}

TEST_CASE("when any one allocation of loading a split model fails, every part is closed") {
  const temporary_folder folder("load-memory");
  const std::string path = split_model(least_llama(), 3).write(folder)[1];
  const bool map = GENERATE(true, false);
  const std::string within = std::filesystem::canonical(folder.path("")).string() + "/";
  const auto mapped = [&] {
    std::ifstream maps("/proc/self/maps");
    std::string line;
    std::size_t parts = 0;
    while (std::getline(maps, line)) parts += line.find(within) != line.npos;
    return parts;
  };
  const auto open = [&] { weir::gguf_file f(path, {.map = map}); };
  counted(0, open);
  const std::size_t calls = tally.calls;
  REQUIRE(calls > 30);
  for (std::size_t n = 1; n <= calls; ++n) {
    bool failed = false;
    counted(n, [&] { failed = lacks_memory(open); });
    REQUIRE(failed);
  }
  REQUIRE(mapped() == 0);
  const weir::gguf_file f(path, {.map = map});
  REQUIRE(mapped() == (map ? 3 : 0));
}

TEST_CASE("pushing a token allocates nothing") {
  const weir::tokenizer t{weir::gguf_file(tiny_llama().build())};
  weir::incremental_decoder decoder(t);
  counted(0, [&] {
    for (int round = 0; round < 50; ++round) {
      for (std::size_t id = 0; id < t.vocab_size(); ++id)
        decoder.push(static_cast<weir::token_id>((id * 7919) % t.vocab_size()));
      decoder.flush();
      decoder.reset();
    }
  });
  REQUIRE(tally.calls == 0);
}
