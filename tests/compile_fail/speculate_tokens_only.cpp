// Siblings that are drawn, and a verifier that takes them for chosen ones.
#include <weir/speculation/speculate.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>

using weir::sibling_kind;

struct dice {
  static constexpr sibling_kind siblings = sibling_kind::without_replacement;
  weir::draft_limits limits() const { return {.nodes = 2, .depth = 1, .width = 2}; }
  struct state {
    state(const dice&, const weir::draft_setup&) {}
    static std::size_t required_bytes(const dice&, const weir::draft_setup&) { return 0; }
    void append(std::span<const weir::token_id>) {}
    void propose(const weir::draft_request&, weir::draft_tree&) {}
    void reset() {}
  };
};

struct only_chosen : weir::rejection_sampling {
  static constexpr bool accepts(sibling_kind kind) { return kind == sibling_kind::point_mass; }
  template <sibling_kind Kind>
  using state = weir::rejection_sampling::state<Kind>;
};

#ifdef WEIR_FAIL
using speculation = weir::speculate<dice, only_chosen>;
#else
using speculation = weir::speculate<dice, weir::rejection_sampling>;
#endif

// What a stream does with it.
struct target_type {
  weir::token_id sample(weir::draft_tree::node) { return 0; }
  std::span<const weir::token_probability> law(weir::draft_tree::node) { return {}; }
  bool chance(weir::draft_tree::node, std::size_t, double) { return true; }
  weir::token_id draw(weir::draft_tree::node, std::span<const double>) { return 0; }
  void go(weir::draft_tree::node) {}
  void back() {}
};
void use(const speculation& s, const weir::draft_tree& tree, target_type& target) {
  speculation::verifier_state state(s.verifier, {.vocabulary = 10, .limits = s.drafter.limits()});
  weir::verdict verdict;
  state.verify(tree, target, verdict);
  (void)speculation::level;
  (void)speculation::wants_laws;
}
