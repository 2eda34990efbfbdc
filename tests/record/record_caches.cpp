// Caches alone, fed with numbers that belong to tokens' names.
#include <algorithm>
#include <vector>

#include <weir/testing/drive_cache.hpp>

#include "caches.hpp"

namespace weir_record {

namespace {

using namespace weir::testing;

constexpr weir::kv_shape small{
    .layers = 3, .q_heads = 4, .kv_heads = 2, .head_dim = 16, .rope = {.dims = 16, .base = 10000}};
/// Half of each head turns, in the other pairing.
constexpr weir::kv_shape wide{
    .layers = 1,
    .q_heads = 3,
    .kv_heads = 1,
    .head_dim = 80,
    .rope = {.dims = 40, .base = 500000, .pairing = weir::rope_pairing::half_split}};

/// For reads that are split: as little else as can be.
constexpr weir::kv_shape narrow{
    .layers = 1, .q_heads = 2, .kv_heads = 1, .head_dim = 16, .rope = {.dims = 16, .base = 10000}};

struct recording {
  bit_hash outputs, kept, bits;

  void add(const std::vector<token_output>& out, std::size_t first, std::size_t n) {
    for (std::size_t i = first; i < first + n; ++i) outputs.add(out[i]);
  }
};

/// Chunk by chunk.
void feed(any_cache& cache, std::span<const token_name> names, std::size_t chunk, recording& to) {
  const auto out = append(cache, cache.shape(), names, chunk);
  to.add(out, 0, out.size());
}

/// With provisional rows beside each token, some of them accepted, and tokens taken back.
void feed_with_drafts(any_cache& cache, std::span<const token_name> names, recording& to) {
  const weir::kv_shape& shape = cache.shape();
  for (std::size_t t = 0; t < names.size();) {
    const std::size_t left = names.size() - t;
    if (t % 5 == 2) {
      append(cache, shape, names_of(1, t), 1);
      cache.take_back();
    }
    // One final row; behind it two that are right, in a chain, and one that is wrong.
    const std::size_t right = std::min<std::size_t>({2, left - 1, cache.draft_room(1)});
    std::vector<weir::row> rows(1);
    std::vector<token_name> fed(1, names[t]);
    for (std::size_t d = 0; d < right; ++d) {
      rows.push_back({d == 0 ? weir::row::root : weir::row::previous, true});
      fed.push_back(names[t + 1 + d]);
    }
    if (right > 0) {
      rows.push_back({weir::row::root, true});
      fed.push_back(names[t] | poison);
    }
    const auto out = attend_rows(cache, shape, rows, fed);
    const std::size_t accepted = std::min<std::size_t>(t % 3, right);
    std::vector<std::size_t> path;
    for (std::size_t d = 0; d < accepted; ++d) path.push_back(1 + d);
    cache.commit(path);
    for (std::size_t i = 0; i <= accepted; ++i)
      cache.tell_log_probability(t + i, log_probability_of(names[t + i]));
    to.add(out, 0, 1 + accepted);
    t += 1 + accepted;
  }
}

void write(record& out, const std::string& name, const any_cache& cache, recording& r) {
  add_entries(cache, r.kept, r.bits);
  out.write("cache " + name + " outputs", r.outputs);
  out.write("cache " + name + " kept", r.kept);
  out.write("cache " + name + " entries", r.bits);
}

/// `tokens` tokens through a cache of this shape, in every way.
void record_shape(record& out, const recorded_cache& which, const std::string& name,
                  const weir::kv_shape& shape, std::size_t entries, std::size_t tokens) {
  const weir::cache_maker maker = which.make(shape, entries);
  const auto names = names_of(tokens, 25);
  for (const std::string way : {"plain", "chunked", "drafts"}) {
    const auto cache = maker.make(
        shape, {.max_rows = 32, .max_draft_rows = 4, .max_draft_width = 2, .cadence = cadence});
    recording r;
    if (way == "drafts")
      feed_with_drafts(*cache, names, r);
    else
      feed(*cache, names, way == "plain" ? 1 : 21, r);
    write(out, name + " " + way, *cache, r);
  }
}

}  // namespace

void record_caches(record& out) {
  for (const recorded_cache& c : all_caches()) record_shape(out, c, c.name, small, budget, 110);
  // Odd shapes, and reads that are split.
  for (const recorded_cache& c : caches_of_codecs())
    if (c.name.starts_with("streaming-llm ") && !c.name.ends_with(" paged")) {
      record_shape(out, c, c.name + " wide", wide, budget, 70);
      record_shape(out, c, c.name + " long", narrow, 600, 640);
    }
}

}  // namespace weir_record
