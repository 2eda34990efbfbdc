// What errors come to where the compiler was told -fno-exceptions.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <weir/weir.hpp>

namespace {

void tell(const char* kind, const char* message) {
  std::printf("told %s: %s\n", kind, message);
  std::fflush(stdout);
  std::_Exit(7);
}
void say_nothing(const char*, const char*) {}

/// The wrong way to do something, by name.
void fail(const char* name) {
  if (std::strcmp(name, "file") == 0) weir::load_model("nowhere.gguf");
  if (std::strcmp(name, "config") == 0) weir::thread_pool(5000);
  if (std::strcmp(name, "thread") == 0) std::thread([] { fail("file"); }).join();
  if (std::strcmp(name, "call") == 0) {
    weir::kv_cache<weir::f32, weir::keep_all> cache(
        {.layers = 2, .q_heads = 1, .kv_heads = 1, .head_dim = 8}, {8});
    const weir::row row;
    cache.begin({&row, 1}).commit();  // not a layer has been attended
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (std::strcmp(argv[1], "told") == 0) weir::error::set_handler(tell);
  if (std::strcmp(argv[1], "returns") == 0) weir::error::set_handler(say_nothing);
  fail(argv[2]);
  return 0;  // never reached: a call that failed does not return
}
