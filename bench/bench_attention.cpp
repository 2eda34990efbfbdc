// One token's attention in one layer of Llama 3 8B, after its own key and value were stored:
// attention/<codec>/<tokens>/<hot|cold>/<threads>.
//
// Hot: the same layer again and again; caches of the processor that are large enough hold it. Cold:
// one layer after the other, more than any of them holds.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include "support/filled_cache.hpp"
#include "support/measure.hpp"
#include "support/random.hpp"

namespace weir_bench {
namespace {

constexpr weir::kv_shape llama_3_8b{.layers = 32,
                                    .q_heads = 32,
                                    .kv_heads = 8,
                                    .head_dim = 128,
                                    .rope = {128, 500000.0, weir::rope_pairing::interleaved}};

/// A cache as long as asked for, of as many layers as it takes to be cold.
template <class Codec>
class layers_in_turn {
 public:
  explicit layers_in_turn(std::size_t tokens) : cache_(shape_for(tokens), tokens) {}

  const filled_cache<Codec>& cache() const { return cache_; }

  void start(unsigned width) {
    step_.reset();
    cache_.use_threads(width);
    next_ = 0;
  }
  /// Attends in the next of the first `layers` layers.
  void attend(std::size_t layers) {
    if (next_ == 0) step_.emplace(cache_.begin());
    step_->attend(next_, q_, k_, v_, out_);
    next_ = (next_ + 1) % layers;
    if (next_ == 0) step_.reset();
  }

 private:
  static weir::kv_shape shape_for(std::size_t tokens) {
    constexpr std::size_t cold_bytes = std::size_t{512} << 20, least_layers = 8;
    weir::kv_shape shape = llama_3_8b;
    const std::size_t layer = filled_cache<Codec>::layer_bytes(shape, tokens);
    shape.layers = std::max(least_layers, cold_bytes / layer + 1);
    return shape;
  }
  static std::vector<float> random_row(std::size_t heads, std::uint32_t seed) {
    return normal_floats(heads * llama_3_8b.head_dim, 1, seed);
  }

  filled_cache<Codec> cache_;
  std::optional<typename filled_cache<Codec>::cache_type::step> step_;
  std::size_t next_ = 0;
  std::vector<float> q_ = random_row(llama_3_8b.q_heads, 3), out_ = q_;
  std::vector<float> k_ = random_row(llama_3_8b.kv_heads, 4);
  std::vector<float> v_ = random_row(llama_3_8b.kv_heads, 5);
};

/// The cache is made by the first case that asks for it and kept for the next ones: to fill it
/// takes longer than to measure. Only one is held at a time.
std::shared_ptr<void> held;
std::string held_name;
template <class Codec>
layers_in_turn<Codec>& layers_of(const std::string& codec, std::size_t tokens) {
  const std::string name = codec + '/' + std::to_string(tokens);
  if (held_name != name) {
    held.reset();
    held = std::make_shared<layers_in_turn<Codec>>(tokens);
    held_name = name;
  }
  return *static_cast<layers_in_turn<Codec>*>(held.get());
}

template <class Codec>
void add_codec(const std::string& codec) {
  for (const std::size_t tokens : {512u, 4096u, 16384u, 32768u})
    for (const bool hot : {true, false})
      for (const unsigned width : thread_counts)
        add_case("attention/" + codec + '/' + std::to_string(tokens) + (hot ? "/hot/" : "/cold/") +
                     std::to_string(width),
                 [=](benchmark::State& state) {
                   layers_in_turn<Codec>& layers = layers_of<Codec>(codec, tokens);
                   const std::size_t count = hot ? 1 : layers.cache().shape().layers;
                   layers.start(width);
                   measure_beside_reads(state, width, layers.cache().bytes_read_per_layer(),
                                        [&] { layers.attend(count); });
                 });
}

}  // namespace

void register_cases() {
  add_codec<weir::f32>("f32");
  add_codec<weir::f16>("f16");
  add_codec<weir::bf16>("bf16");
  add_codec<weir::int8>("int8");
  add_codec<weir::int4>("int4");
}

}  // namespace weir_bench
