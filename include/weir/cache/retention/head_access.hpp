// How policies reach what a KV head stores: plain numbers through six indirect calls, none of them
// per element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/cache/eviction/slots_view.hpp>
#include <weir/cache/placement/tile_place.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/unit_keys.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

/// One KV head of a store, whatever its codec and layout. `enter` says of which layer.
template <class Store>
class head_access {
 public:
  head_access(Store& store, std::size_t head) : store_(&store), head_(head) {}
  head_access(const head_access&) = delete;

  /// `tiles`: those of the KV head that are in use. `sum` `[head_dim, 16]`: to work in.
  const entry_access& enter(std::size_t layer, std::size_t tiles, float* sum) {
    layer_ = layer;
    tiles_ = tiles;
    sum_ = sum;
    return all_;
  }
  /// Of the layer that was entered: an entry goes from one slot to another.
  void move(tile_place from, tile_place to) {
    store_->prepare_to_write(head_index(), to.tile);
    store_->copy(layer_, head_, from, to);
  }
  /// Numbers written since it was last asked that were cut to the largest that the codec holds.
  std::size_t take_cut() { return std::exchange(cut_, 0); }
  /// Nothing in a tile lives any more.
  void give_back(std::size_t tile) { store_->give_back(head_index(), tile); }

 private:
  std::size_t head_index() const { return layer_ * store_->shape().kv_heads + head_; }
  static tile_place place(slot s) {
    return {s.value / static_cast<std::uint32_t>(tile_lanes),
            s.value % static_cast<std::uint32_t>(tile_lanes)};
  }

  struct {
    head_access* at;
    void operator()(slot s, float* x) const {
      at->store_->read_key(at->layer_, at->head_, place(s), x);
    }
  } key_{this};
  struct {
    head_access* at;
    void operator()(slot s, float* x) const {
      at->store_->read_value(at->layer_, at->head_, place(s), x);
    }
  } value_{this};
  struct {
    head_access* at;
    void operator()(const float* vectors, std::size_t n, float* out) const {
      at->store_->dots(at->layer_, at->head_, at->tiles_, vectors, n, out);
    }
  } dots_{this};
  struct {
    head_access* at;
    void operator()(const float* weight, float* out) const {
      at->store_->weighted_keys(at->layer_, at->head_, at->tiles_, weight, at->sum_, out);
    }
  } weighted_keys_{this};
  struct {
    head_access* at;
    void operator()(std::span<const slot> of, const float* inverse_norm, similar_key* out) const {
      const std::size_t d = at->store_->shape().head_dim;
      unit_keys keys(d);
      float x[max_head_dim];
      const auto will_merge = [this](slot s) {
        at->store_->prefetch_value(at->layer_, at->head_, place(s));
      };
      for (const slot s : of) {
        at->store_->read_key(at->layer_, at->head_, place(s), x);
        keys.add(x, weir::inverse_norm({x, d}));
        will_merge(s);
      }
      at->store_->most_similar(at->layer_, at->head_, at->tiles_, inverse_norm, keys, out);
      for (std::size_t i = 0; i < of.size(); ++i) will_merge(out[i].at);
    }
  } most_similar_{this};
  struct {
    head_access* at;
    void operator()(slot s, const float* key, const float* value) const {
      at->store_->prepare_to_write(at->head_index(), place(s).tile);
      at->cut_ += at->store_->write(at->layer_, at->head_, place(s), key, value);
    }
  } write_{this};

  Store* store_;
  std::size_t head_, layer_ = 0, tiles_ = 0, cut_ = 0;
  float* sum_ = nullptr;
  entry_access all_{key_, value_, dots_, weighted_keys_, most_similar_, write_};
};

}  // namespace weir::inline WEIR_TARGET
