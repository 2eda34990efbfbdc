// Key diversity: the entries whose keys are least like the others. KeyDiff, arXiv 2504.15364,
// section 3.
//
// The anchor of a KV head is the mean of its keys, each scaled to length 1. Entries stay that have
// the lowest cosine with it: similar keys get similar attention, and one of them will do. No
// attention is looked at.
//
// Deviations. None in the rule, which runs at every boundary as the paper runs it behind every
// block of the prompt. A key of length 0, which has no direction, counts as orthogonal.
#pragma once

#include <span>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct key_diversity {
  std::size_t budget = 0;
  static constexpr signals needs = signals::new_keys;

  std::size_t notes(const kv_shape&) const { return 1; }  // 1 / norm of the key
  std::size_t scratch(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    view.note(s) = view.inverse_key_norm(s);
  }

  void score_all(const slots_view& view, std::span<float> score) const {
    const std::span<float> cosine = view.scratch(), note = view.notes();
    float direction[max_head_dim];
    const std::span<float> anchor(direction, view.shape().head_dim);
    view.weighted_keys(note, anchor);
    const float scale = -inverse_norm(anchor);
    for (float& x : anchor) x *= scale;
    view.dots(anchor, cosine);
    for (std::size_t s = 0; s < cosine.size(); ++s) cosine[s] *= note[s];
    for (std::size_t i = 0; i < view.size(); ++i) score[i] = cosine[view.at(i).value];
  }
};

static_assert(eviction_policy<key_diversity> && has_on_append<key_diversity>);

}  // namespace weir::inline WEIR_TARGET
