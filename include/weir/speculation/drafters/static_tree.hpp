// A small model drafts a tree of a fixed shape, a pass for each depth.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/sampling/top_tokens.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/draft_stream.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// `static_tree<Cache>` (stream/model_drafters.hpp) for a draft model's stream with that cache.
/// Behind each node the model's most probable tokens are drafted, of the ranks that the shape has
/// there.
template <class Stream>
struct basic_static_tree {
  draft_source<Stream> source;
  tree_shape shape = tree_shape::chain(4);

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return shape.limits(); }

  class state {
   public:
    state(const basic_static_tree& settings, const draft_setup& setup)
        : drafts_(settings.source, setup, settings.limits(), settings.limits().width),
          shape_(settings.shape),
          node_of_(shape_.nodes.size()),
          best_(shape_.ranks()) {
      shape_.validate();
      for (std::size_t n = 0; n < shape_.nodes.size(); ++n) depth_.push_back(shape_.depth(n));
      error::require<error::bad_config>(
          best_.size() <= setup.vocabulary, "static_tree.shape: rank ", best_.size() - 1,
          " (expected below the vocabulary of ", setup.vocabulary, ")");
      batch_.reserve(settings.limits().width);
    }
    static std::size_t required_bytes(const basic_static_tree& settings, const draft_setup& setup) {
      return draft_stream<Stream>::required_bytes(settings.source, setup, settings.limits(),
                                                  settings.limits().width);
    }

    void append(std::span<const token_id> tokens) { drafts_.append(tokens); }

    void propose(const draft_request&, draft_tree& tree) {
      if (!drafts_.begin()) return;
      std::fill(node_of_.begin(), node_of_.end(), draft_tree::none);
      draft_behind(tree_shape::root, 0, 0, tree);
      for (std::size_t first = 0; first < depth_.size();) {
        std::size_t last = first;
        while (last < depth_.size() && depth_[last] == depth_[first]) ++last;
        batch_.clear();  // nodes of this depth that something is drafted behind
        for (std::size_t n = first; n < last; ++n)
          if (has_children(n) && node_of_[n] != draft_tree::none && tree.has_room(node_of_[n]))
            batch_.push_back(node_of_[n]);
        if (batch_.empty() || !drafts_.reaches(depth_[first])) return;
        drafts_.read(tree, batch_);
        std::size_t read = 0;
        for (std::size_t n = first; n < last && read < batch_.size(); ++n)
          if (node_of_[n] == batch_[read]) draft_behind(n, node_of_[n], read++, tree);
        first = last;
      }
    }

    void reset() { drafts_.reset(); }

   private:
    bool has_children(std::size_t n) const {
      return std::any_of(shape_.nodes.begin(), shape_.nodes.end(),
                         [&](const tree_shape::draft& g) { return g.parent == n; });
    }
    /// Adds the children of shape node `n`, which is `at` in the tree and was read as number
    /// `read`.
    void draft_behind(std::size_t n, draft_tree::node at, std::size_t read, draft_tree& tree) {
      top_tokens(drafts_.logits(read), best_);
      for (std::size_t c = 0; c < shape_.nodes.size(); ++c)
        if (shape_.nodes[c].parent == n) node_of_[c] = tree.add(best_[shape_.nodes[c].rank], at);
    }

    draft_stream<Stream> drafts_;
    tree_shape shape_;
    std::vector<std::size_t> depth_;         // [shape node]
    std::vector<draft_tree::node> node_of_;  // [shape node]
    std::vector<draft_tree::node> batch_;
    std::vector<token_id> best_;  // [rank]
  };
};

}  // namespace weir::inline WEIR_TARGET
