// What a stream does with a pair of drafter and verifier, so that a refused one must bear it all in
// silence. Included after `speculation`, and not a template: a user's code need not be one.

struct target_type {
  weir::token_id sample(weir::draft_tree::node) { return 0; }
  std::span<const weir::token_probability> distribution(weir::draft_tree::node) { return {}; }
  bool accept_with_probability(weir::draft_tree::node, std::size_t, double) { return true; }
  weir::token_id draw(weir::draft_tree::node, std::span<const double>) { return 0; }
  void go(weir::draft_tree::node) {}
  void back() {}
};
void use(const speculation& s, const weir::draft_tree& tree, target_type& target) {
  speculation::verifier_state state(s.verifier, {.vocabulary = 10, .limits = s.drafter.limits()});
  weir::verification verification;
  state.verify(tree, target, verification);
  (void)speculation::level;
  (void)speculation::wants_distributions;
}
