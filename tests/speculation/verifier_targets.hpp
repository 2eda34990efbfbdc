// Targets and drafts for tests of verifiers: distributions that are written down, and randomness
// that is enumerated, scripted, or keyed as streams key it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/sampling/weighted_draw.hpp>
#include <weir/speculation/concept.hpp>

namespace weir_test {

using tokens = std::vector<weir::token_id>;
using distribution = std::vector<float>;  // [vocabulary]
using node = weir::draft_tree::node;

/// `x` over its sum, in f64.
inline std::vector<double> normalized(const distribution& x) {
  std::vector<double> p(x.begin(), x.end());
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= sum;
  return p;
}

/// What target and drafter say behind each sequence of tokens, the root left out.
struct world {
  std::size_t vocabulary;
  std::function<distribution(const tokens&)> target, draft;
};

inline world same_everywhere(const distribution& p, const distribution& q) {
  return {p.size(), [=](const tokens&) { return p; }, [=](const tokens&) { return q; }};
}

/// Distributions that differ from sequence to sequence, with zeros in places that differ too.
inline world random_world(std::size_t vocabulary, std::uint64_t seed) {
  const auto make = [=](std::uint64_t key, const tokens& behind) {
    for (const weir::token_id t : behind) key = key * 31 + static_cast<std::uint64_t>(t) + 1;
    distribution x(vocabulary);
    for (std::size_t i = 0; i < vocabulary; ++i) {
      const weir::random_source random{seed, key};
      const auto draw = static_cast<std::uint32_t>(i);
      if (random.uniform(weir::purpose::scoring, 1, draw) < 0.8)
        x[i] = static_cast<float>(random.uniform(weir::purpose::scoring, 0, draw));
    }
    x[key % vocabulary] += 0.25f;
    const std::vector<double> p = normalized(x);
    return distribution(p.begin(), p.end());
  };
  return {vocabulary, [=](const tokens& t) { return make(1, t); },
          [=](const tokens& t) { return make(2, t); }};
}

/// Tokens on the way to a node, the root left out.
inline tokens way_to(const weir::draft_tree& tree, node n) {
  tokens way;
  for (; n != 0; n = tree.parent(n)) way.push_back(tree.token(n));
  std::reverse(way.begin(), way.end());
  return way;
}

/// All ways that random choices can go, one after the other, each with its probability.
class enumeration {
 public:
  /// Number `i` with a probability proportional to `weights[i]`.
  std::size_t choose(std::span<const double> weights) {
    if (at_ == ways_.size()) {
      ways_.push_back({0, {weights.begin(), weights.end()}});
      skip_zeros(ways_.back());
    }
    const way& w = ways_[at_++];
    probability_ *= w.weights[w.choice] / std::accumulate(w.weights.begin(), w.weights.end(), 0.0);
    return w.choice;
  }
  /// Calls `f()` once for each way, then `done(probability of it)`.
  template <class F, class Done>
  void run(F&& f, Done&& done) {
    do {
      at_ = 0;
      probability_ = 1;
      f();
      done(probability_);
    } while (next());
  }

 private:
  struct way {
    std::size_t choice;
    std::vector<double> weights;
  };
  static bool skip_zeros(way& w) {
    while (w.choice < w.weights.size() && w.weights[w.choice] == 0) ++w.choice;
    return w.choice < w.weights.size();
  }
  bool next() {
    while (!ways_.empty()) {
      ++ways_.back().choice;
      if (skip_zeros(ways_.back())) return true;
      ways_.pop_back();
    }
    return false;
  }
  std::vector<way> ways_;
  std::size_t at_ = 0;
  double probability_ = 1;
};

/// What every target here does. `Random` says how: token(at, weights) to sample, and
/// `accept_with_probability` and `draw` as verifiers ask. Throws std::logic_error if a verifier
/// breaks a rule of its.
template <class Random>
class told_target {
 public:
  told_target(const world& w, const weir::draft_tree& tree, Random random)
      : world_(w), tree_(tree), random_(random) {}

  weir::token_id sample(node n) {
    question(n);
    return random_.sample(tree_, n, normalized(world_.target(way_to(tree_, n))));
  }
  std::span<const weir::token_probability> distribution(node n) {
    question(n);
    const weir_test::distribution p = world_.target(way_to(tree_, n));
    for (std::size_t i = 0; i < p.size(); ++i)
      if (p[i] > 0) distribution_.push_back({static_cast<weir::token_id>(i), p[i]});
    return distribution_;
  }
  bool accept_with_probability(node n, std::size_t sibling, double p) {
    question(n);
    require(sibling == decided_++ && p >= 0 && p <= 1);
    return random_.accept_with_probability(tree_, n, sibling, p);
  }
  weir::token_id draw(node n, std::span<const double> weights) {
    question(n);
    require(!drew_ && weights.size() == world_.vocabulary);
    drew_ = true;
    return random_.draw(tree_, n, weights);
  }
  void go(node n) {
    require(n < tree_.size() && n != 0 && tree_.parent(n) == at_);
    at_ = n;
    decided_ = 0;
    forget();
  }
  void back() {
    require(at_ != 0);
    at_ = tree_.parent(at_);
    forget();
  }
  node at() const { return at_; }

 private:
  static void require(bool holds) {
    if (!holds) throw std::logic_error("the verifier broke a rule");
  }
  void question(node n) {
    require(n == at_);
    forget();
  }
  /// The distribution is gone once something else is asked.
  void forget() {
    for (auto& t : distribution_) t = {-1, -1};
    distribution_.clear();
  }

  const world& world_;
  const weir::draft_tree& tree_;
  Random random_;
  node at_ = 0;
  std::size_t decided_ = 0;
  bool drew_ = false;
  std::vector<weir::token_probability> distribution_;
};

/// Every way is gone.
struct enumerated {
  enumeration& ways;

  weir::token_id sample(const weir::draft_tree&, node, const std::vector<double>& p) {
    return static_cast<weir::token_id>(ways.choose(p));
  }
  bool accept_with_probability(const weir::draft_tree&, node, std::size_t, double p) {
    const double weights[] = {p, 1 - p};
    return ways.choose(weights) == 0;
  }
  weir::token_id draw(const weir::draft_tree&, node, std::span<const double> weights) {
    return static_cast<weir::token_id>(ways.choose(weights));
  }
};

/// As weir::sequence has it, with the root at stream index `root`.
struct keyed {
  weir::random_source random;
  std::uint64_t root = 0;

  std::uint64_t behind(const weir::draft_tree& tree, node n) const {
    return root + 1 + tree.depth(n);
  }
  weir::token_id sample(const weir::draft_tree& tree, node n, const std::vector<double>& p) {
    return weir::draw_weighted(p, random.uniform(weir::purpose::sampling, behind(tree, n)));
  }
  bool accept_with_probability(const weir::draft_tree& tree, node n, std::size_t sibling,
                               double p) {
    return random.uniform(weir::purpose::acceptance, behind(tree, n),
                          static_cast<std::uint32_t>(sibling)) < p;
  }
  weir::token_id draw(const weir::draft_tree& tree, node n, std::span<const double> weights) {
    return weir::draw_weighted(weights, random.uniform(weir::purpose::residual, behind(tree, n)));
  }
};

/// Numbers in the order in which they are asked for.
struct scripted {
  std::vector<double>& numbers;  // the next one first

  double next() {
    if (numbers.empty()) throw std::logic_error("more numbers than expected");
    const double u = numbers.front();
    numbers.erase(numbers.begin());
    return u;
  }
  weir::token_id sample(const weir::draft_tree&, node, const std::vector<double>& p) {
    return weir::draw_weighted(p, next());
  }
  bool accept_with_probability(const weir::draft_tree&, node, std::size_t, double p) {
    return next() < p;
  }
  weir::token_id draw(const weir::draft_tree&, node, std::span<const double> weights) {
    return weir::draw_weighted(weights, next());
  }
};

/// Adds `n` children to `at`, made as `kind` says of the distribution that `w` drafts there, and
/// leaves the distribution. `draw(weights) -> size_t`. Point masses are the most probable tokens.
template <class Draw>
void add_children(weir::draft_tree& tree, node at, std::size_t n, weir::sibling_kind kind,
                  const world& w, Draw&& draw) {
  const distribution q = w.draft(way_to(tree, at));
  std::vector<double> left(q.begin(), q.end());
  if (tree.wants_distributions()) std::copy(q.begin(), q.end(), tree.set_distribution(at).begin());
  for (std::size_t i = 0; i < n; ++i) {
    if (std::none_of(left.begin(), left.end(), [](double x) { return x > 0; })) return;
    const std::size_t x =
        kind == weir::sibling_kind::point_mass
            ? static_cast<std::size_t>(std::max_element(left.begin(), left.end()) - left.begin())
            : draw(std::span<const double>(left));
    tree.add(static_cast<weir::token_id>(x), at);
    if (kind != weir::sibling_kind::independent) left[x] = 0;
  }
}

/// The same below every node: `widths[d]` children at depth d.
template <class Draw>
void grow(weir::draft_tree& tree, const std::vector<std::size_t>& widths, weir::sibling_kind kind,
          const world& w, Draw&& draw) {
  for (node n = 0; n < tree.size(); ++n)
    if (tree.depth(n) < widths.size())
      add_children(tree, n, widths[tree.depth(n)], kind, w,
                   [&](std::span<const double> weights) { return draw(n, weights); });
}

inline weir::draft_limits limits_of(const std::vector<std::size_t>& widths) {
  weir::draft_limits limits{.nodes = 0, .depth = widths.size(), .width = 0};
  std::size_t width = 1;
  for (const std::size_t w : widths) {
    width *= w;
    limits.nodes += width;
    limits.width = std::max(limits.width, width);
  }
  return limits;
}

/// The tokens of a verification.
inline tokens emitted(const weir::draft_tree& tree, const weir::verification& v) {
  tokens out;
  for (const node n : v.path) out.push_back(tree.token(n));
  out.push_back(v.extra);
  return out;
}

/// The statistic of counts under a distribution, and how many degrees of freedom it has. A cell of
/// probability 0 must stay empty.
struct chi_square {
  double value = 0;
  std::size_t degrees = 0;

  /// Adds a sample of its own. Cells in which fewer than 5 are expected are taken together.
  void add(std::span<const double> p, std::span<const std::size_t> count) {
    const double n =
        static_cast<double>(std::accumulate(count.begin(), count.end(), std::size_t{0}));
    std::vector<std::pair<double, double>> cells;  // expected, found
    std::pair<double, double> rare{0, 0};
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] == 0 && count[i] > 0) value = std::numeric_limits<double>::infinity();
      const std::pair<double, double> cell{p[i] * n, static_cast<double>(count[i])};
      if (cell.first >= 5)
        cells.push_back(cell);
      else
        rare = {rare.first + cell.first, rare.second + cell.second};
    }
    if (rare.first >= 5 || cells.empty()) {
      cells.push_back(rare);
    } else {
      cells.back().first += rare.first;
      cells.back().second += rare.second;
    }
    for (const auto& [expected, found] : cells)
      if (expected > 0) value += (found - expected) * (found - expected) / expected;
    degrees += cells.size() - 1;
  }
  /// True if this is more than one in a thousand reach (Wilson & Hilferty).
  bool rejects() const {
    const double n = static_cast<double>(degrees), a = 2 / (9 * n);
    const double root = 1 - a + 3.0902 * std::sqrt(a);
    return value > n * root * root * root;
  }
};

/// Wrong: of one draft drawn from `q`, draws from `p`, not from what is left of it, when the draft
/// is rejected.
struct resamples {
  distribution p, q;
  template <class Target>
  void verify(const weir::draft_tree& tree, Target& target, weir::verification& out) {
    const node draft = tree.child(0);
    const auto x = static_cast<std::size_t>(tree.token(draft));
    if (target.accept_with_probability(0, 0, std::min(normalized(p)[x] / normalized(q)[x], 1.0))) {
      target.go(draft);
      out.path.push_back(draft);
    }
    out.extra = target.sample(out.path.empty() ? 0 : draft);
  }
};

}  // namespace weir_test
