// A drafter that is chosen at run time, so that decoders are compiled once for all that make their
// drafts alike: one virtual call for each round.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <weir/speculation/concept.hpp>

namespace tool {

class any_draft_state {
 public:
  virtual ~any_draft_state() = default;
  virtual void append(std::span<const weir::token_id> tokens) = 0;
  virtual void propose(const weir::draft_request& request, weir::draft_tree& tree) = 0;
  virtual void learn(const weir::round_outcome& outcome) = 0;
  virtual void reset() = 0;
};

template <weir::drafter Drafter>
class one_draft_state final : public any_draft_state {
 public:
  one_draft_state(const Drafter& settings, const weir::draft_setup& setup)
      : state_(settings, setup) {}
  void append(std::span<const weir::token_id> tokens) override { state_.append(tokens); }
  void propose(const weir::draft_request& request, weir::draft_tree& tree) override {
    state_.propose(request, tree);
  }
  void learn(const weir::round_outcome& outcome) override {
    if constexpr (weir::learns_from_rounds<typename Drafter::state>) state_.learn(outcome);
  }
  void reset() override { state_.reset(); }

 private:
  typename Drafter::state state_;
};

template <weir::sibling_kind Kind>
struct chosen_drafter {
  weir::draft_limits most = {};
  std::function<std::unique_ptr<any_draft_state>(const weir::draft_setup&)> make;
  std::function<std::size_t(const weir::draft_setup&)> bytes;

  template <class Drafter>
    requires(!std::same_as<Drafter, chosen_drafter>)
  explicit chosen_drafter(const Drafter& settings)
      : most(settings.limits()),
        make([settings](const weir::draft_setup& setup) -> std::unique_ptr<any_draft_state> {
          return std::make_unique<one_draft_state<Drafter>>(settings, setup);
        }),
        bytes([settings](const weir::draft_setup& setup) {
          return Drafter::state::required_bytes(settings, setup);
        }) {
    // What is right without the target's randomness is right with it.
    static_assert(Drafter::siblings == Kind ||
                  (Kind == weir::sibling_kind::coupled &&
                   Drafter::siblings == weir::sibling_kind::point_mass));
    static_assert(!weir::uses_masks<typename Drafter::state>, "masks are not passed on");
  }

  static constexpr weir::sibling_kind siblings = Kind;
  weir::draft_limits limits() const { return most; }

  class state {
   public:
    state(const chosen_drafter& chosen, const weir::draft_setup& setup)
        : drafts_(chosen.make(setup)) {}
    static std::size_t required_bytes(const chosen_drafter& chosen,
                                      const weir::draft_setup& setup) {
      return chosen.bytes(setup);
    }
    void append(std::span<const weir::token_id> tokens) { drafts_->append(tokens); }
    void propose(const weir::draft_request& request, weir::draft_tree& tree) {
      drafts_->propose(request, tree);
    }
    void learn(const weir::round_outcome& outcome) { drafts_->learn(outcome); }
    void reset() { drafts_->reset(); }

   private:
    std::unique_ptr<any_draft_state> drafts_;
  };
};

}  // namespace tool
