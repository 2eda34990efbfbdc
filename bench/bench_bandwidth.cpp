// What memory and caches deliver to a plain read: bandwidth/<MiB>/<threads>.
#include <cstddef>
#include <string>

#include "support/byte_buffer.hpp"
#include "support/measure.hpp"
#include "support/plain_read.hpp"

namespace weir_bench {
namespace {

void bandwidth(benchmark::State& state, std::size_t mebibytes, unsigned width) {
  weir::executor& threads = threads_of(width);
  const byte_buffer memory(mebibytes << 20);
  const read_variant& variant = best_read_variant(memory.bytes(), threads, 9);
  const double seconds = measure(state, [&] { read_all(variant, memory.bytes(), threads); });
  state.counters["GB_per_s"] = static_cast<double>(memory.bytes().size()) / seconds / 1e9;
  state.SetLabel(variant.name);
}

}  // namespace

void register_cases() {
  for (const std::size_t mebibytes : {1u, 8u, 256u, 1024u})
    for (const unsigned width : thread_counts)
      add_case("bandwidth/" + std::to_string(mebibytes) + "/" + std::to_string(width),
               [=](benchmark::State& state) { bandwidth(state, mebibytes, width); });
}

}  // namespace weir_bench
