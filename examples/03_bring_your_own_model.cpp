// The cache under a forward pass of your own, with speculative rows that are taken back. The model
// is a toy with random weights; what it needs of the cache is one `attend` a layer.
#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <iostream>
#include <random>
#include <vector>

#include <weir/cache.hpp>

using cache = weir::kv_cache<weir::bf16, weir::keep<weir::sinks, weir::window>>;
using floats = std::vector<float>;

struct model {
  static constexpr std::size_t vocab = 40, width = 32, layers = 2, q_heads = 4, kv_heads = 2,
                               head_dim = 8, kv_width = kv_heads * head_dim;
  std::minstd_rand random{7};
  floats embedding = weights(vocab), output = weights(vocab);
  std::array<floats, layers> wq = {weights(width), weights(width)};
  std::array<floats, layers> wk = {weights(kv_width), weights(kv_width)};
  std::array<floats, layers> wv = {weights(kv_width), weights(kv_width)};

  floats weights(std::size_t rows) {
    floats w(rows * width);
    for (float& x : w) x = static_cast<float>(random() % 2001) / 1000 - 1;
    return w;
  }
  /// [tokens, width] times the transpose of [outputs, width].
  static floats times(const floats& x, const floats& w) {
    const std::size_t rows = x.size() / width, outputs = w.size() / width;
    floats y(rows * outputs);
    for (std::size_t i = 0; i < y.size(); ++i)
      for (std::size_t k = 0; k < width; ++k)
        y[i] += x[i / outputs * width + k] * w[i % outputs * width + k];
    return y;
  }

  /// The most probable token behind each row of an open step.
  std::vector<std::size_t> forward(const std::vector<std::size_t>& tokens, cache::step& step) {
    floats x;
    for (const std::size_t t : tokens)
      x.insert(x.end(), &embedding[t * width], &embedding[t * width] + width);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      floats out(x.size());
      step.attend(layer, times(x, wq[layer]), times(x, wk[layer]), times(x, wv[layer]), out);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += 0.3f * out[i];
    }
    const floats logits = times(x, output);
    std::vector<std::size_t> best;
    for (auto row = logits.begin(); row != logits.end(); row += vocab)
      best.push_back(static_cast<std::size_t>(std::max_element(row, row + vocab) - row));
    return best;
  }
};

/// 200 tokens. With `draft`, what followed the last token earlier is tried in the same step.
std::vector<std::size_t> decode(bool draft) {
  model m;
  cache kv({.layers = model::layers,
            .q_heads = model::q_heads,
            .kv_heads = model::kv_heads,
            .head_dim = model::head_dim,
            .rope = {.dims = model::head_dim}},
           {weir::sinks{2}, weir::window{30}}, {.max_rows = 5, .max_draft_rows = 4});
  std::vector<std::size_t> text{1};
  while (text.size() < 200) {
    std::vector<std::size_t> tokens{text.back()};
    const auto earlier = std::find(text.rbegin() + 1, text.rend(), text.back()).base();
    if (draft && earlier != text.begin())
      tokens.insert(tokens.end(), earlier,
                    earlier + std::min<std::ptrdiff_t>(4, text.end() - earlier));
    std::vector<weir::row> rows(tokens.size(), {.provisional = true});
    rows[0].provisional = false;  // the last token is certain, the drafts behind it are not

    auto step = kv.begin(rows);
    const std::vector<std::size_t> next = m.forward(tokens, step);
    std::vector<std::size_t> path;  // the rows that drafted right; the others are taken back
    while (path.size() + 1 < tokens.size() && tokens[path.size() + 1] == next[path.size()])
      path.push_back(path.size() + 1);
    step.commit(path);
    text.insert(text.end(), next.begin(),
                next.begin() + static_cast<std::ptrdiff_t>(path.size()) + 1);
  }
  std::cout << kv.stats().provisional << " drafts, " << kv.stats().accepted << " accepted\n";
  return text;
}

int main() try {
  std::vector<std::size_t> plain = decode(false), drafted = decode(true);
  drafted.resize(plain.size());
  std::cout << (plain == drafted ? "The same tokens with and without drafts.\n" : "Different!\n");
  return plain == drafted ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "03_bring_your_own_model: " << e.what() << '\n';
  return 1;
}
