// Flash-VStream's STAR memory: a video of any length as a few frames' features, ahead of the
// language model. arXiv 2406.08085.
//
// Spatial memory is the last frames as they are; temporal memory is weighted k-means over all
// frames ever, one update a frame; retrieved memory is the stored frames nearest to the heaviest
// centroids; abstract memory is a few tokens that drift towards the frames by attention.
//
// Deviations. Centroids start at the first frames, and a frame more than there is room for is
// clustered with the centroids at once; the authors start at random frames. Retrieval looks at the
// frames in spatial memory, for these are what a bounded memory has; the authors index the frame
// list of the whole video, by cluster number. The attention of the abstract memory is learned: the
// caller supplies its weights. Memory is what the sizes say, and does not grow. An empty cluster
// takes the frame that lies furthest from its own centroid; theirs a random one. Published lengths
// are not verified; the second paper's memories (arXiv 2506.23825) are not these.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/reducers/weighted_k_means.hpp>

namespace weir::inline WEIR_TARGET::reducers {

/// M ← M (1 − rowsum(W)) + W X: `memory` `[tokens, width]`, `weight` `[tokens, inputs]`, already
/// times the update rate, `input` `[inputs, width]`.
inline void update_abstract_memory(std::span<float> memory, std::span<const float> weight,
                                   std::span<const float> input, std::size_t width) {
  const std::size_t inputs = input.size() / width, tokens = memory.size() / width;
  error::require<error::bad_input>(weight.size() == tokens * inputs,
                                   "abstract memory: ", weight.size(), " weights (expected ",
                                   tokens, " × ", inputs, ")");
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto w = weight.subspan(t * inputs, inputs);
    const float kept = 1 - std::accumulate(w.begin(), w.end(), 0.0f);
    for (std::size_t x = 0; x < width; ++x) {
      float sum = kept * memory[t * width + x];
      for (std::size_t i = 0; i < inputs; ++i) sum += w[i] * input[i * width + x];
      memory[t * width + x] = sum;
    }
  }
}

class flash_vstream {
 public:
  struct sizes {
    std::size_t width = 0;      ///< floats of a frame: tokens × features
    std::size_t spatial = 10;   ///< frames
    std::size_t temporal = 10;  ///< centroids
    std::size_t retrieved = 3;  ///< frames
    std::size_t rounds = 10;    ///< of k-means, at most, a frame
  };

  explicit flash_vstream(const sizes& s) : sizes_(s) {
    error::require<error::bad_config>(
        s.width > 0 && s.spatial > 0 && s.temporal > 0 && s.retrieved <= s.temporal,
        "flash_vstream: ", s.spatial, " frames and ", s.temporal, " centroids of ", s.width,
        " floats, ", s.retrieved, " retrieved (expected some, and at most a frame a centroid)");
    spatial_.reserve((s.spatial + 1) * s.width);
    temporal_.reserve((s.temporal + 1) * s.width);
  }

  /// One more frame `[width]`.
  void append(std::span<const float> frame) {
    error::require<error::bad_input>(frame.size() == sizes_.width, "flash_vstream: a frame of ",
                                     frame.size(), " floats (expected ", sizes_.width, ")");
    spatial_.insert(spatial_.end(), frame.begin(), frame.end());
    if (spatial_.size() > sizes_.spatial * sizes_.width)
      spatial_.erase(spatial_.begin(),
                     spatial_.begin() + static_cast<std::ptrdiff_t>(sizes_.width));
    temporal_.insert(temporal_.end(), frame.begin(), frame.end());
    weight_.push_back(1);
    if (weight_.size() <= sizes_.temporal) return;
    std::vector<float> start(temporal_.begin(),
                             temporal_.end() - static_cast<std::ptrdiff_t>(sizes_.width));
    clusters c =
        weighted_k_means(temporal_, weight_, sizes_.width, std::move(start), sizes_.rounds);
    std::copy(c.centroid.begin(), c.centroid.end(), temporal_.begin());
    temporal_.resize(c.centroid.size());
    weight_ = std::move(c.weight);
  }

  /// The last frames `[frame, width]`, oldest first.
  std::span<const float> spatial() const { return spatial_; }
  /// Centroids `[centroid, width]`, and how many frames each stands for.
  std::span<const float> temporal() const { return temporal_; }
  std::span<const double> weights() const { return weight_; }
  /// Numbers of the spatial frames nearest to the heaviest centroids, heaviest first; may repeat.
  std::vector<std::size_t> retrieve() const {
    std::vector<std::size_t> order(weight_.size()), out;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return weight_[a] != weight_[b] ? weight_[a] > weight_[b] : a < b;
    });
    order.resize(std::min(order.size(), sizes_.retrieved));
    const std::size_t w = sizes_.width;
    for (const std::size_t j : order) {
      std::size_t nearest = 0;
      const auto distance = [&](std::size_t i) {
        return squared_distance(spatial().subspan(i * w, w), temporal().subspan(j * w, w));
      };
      for (std::size_t i = 1; i < spatial_.size() / w; ++i)
        if (distance(i) < distance(nearest)) nearest = i;
      out.push_back(nearest);
    }
    return out;
  }

 private:
  sizes sizes_;
  std::vector<float> spatial_, temporal_;
  std::vector<double> weight_;
};

}  // namespace weir::inline WEIR_TARGET::reducers
