// HiRED: drops visual tokens of one image before the language model sees them. arXiv 2408.10945.
//
// An image comes as one overview and several partitions of it, tiles of a grid. Attention of the
// vision encoder's class token says what matters: an early layer's over the overview shares the
// budget among the tiles, a late layer's picks each partition's tokens.
//
// Deviations. A tile is the rectangle of the overview that it shows; the authors' code takes a run
// of consecutive tokens, bands of rows, which `tiling::bands` reproduces. Shares are rounded down
// as in their code, which may leave a few tokens unused; `exact` hands those to the largest
// remainders. Ties: the earlier token.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::reducers {

enum class tiling : std::uint8_t { rectangles, bands };

struct hired {
  std::size_t width = 24, height = 24;  ///< tokens of a partition
  std::size_t across = 2, down = 2;     ///< tiles of the image
  double rate = .2;                     ///< of all tokens, to keep
  double alpha = .5;                    ///< of the kept, for the overview
  tiling tiles = tiling::rectangles;
  bool exact = false;

  std::size_t tokens() const { return width * height; }
  std::size_t partitions() const { return across * down + 1; }

  /// Tokens to keep of the overview and of each tile, row by row, from the early layer's attention
  /// over the overview `[tokens()]`.
  std::vector<std::size_t> budgets(std::span<const float> early) const {
    validate();
    expect(early.size(), "the overview");
    const std::size_t n = tokens(), tile_count = partitions() - 1;
    const std::size_t total = whole(static_cast<double>(partitions() * n) * rate);
    const std::size_t overview = std::min(whole(static_cast<double>(total) * alpha), n);
    std::vector<std::size_t> marks(tile_count), out{overview};
    const auto marked = best(early, whole(static_cast<double>(n) * (1 - alpha)));
    for (const std::size_t token : marked) ++marks[tile_of(token)];
    std::size_t spent = 0;
    for (const std::size_t m : marks) {
      out.push_back(marked.empty() ? 0 : std::min(n, (total - overview) * m / marked.size()));
      spent += out.back();
    }
    while (exact && spent < total - overview) {
      const std::size_t gains = neediest(marks, out, total - overview, marked.size());
      if (gains == tile_count) break;
      ++out[gains + 1], ++spent;
    }
    return out;
  }

  /// Tokens of one partition to keep, rising, from the late layer's attention `[tokens()]`.
  std::vector<std::size_t> select(std::span<const float> late, std::size_t budget) const {
    expect(late.size(), "a partition");
    return best(late, budget);
  }

 private:
  void validate() const {
    using error::bad_config, error::require;
    require<bad_config>(width > 0 && height > 0 && across > 0 && down > 0, "hired: ", across, " × ",
                        down, " tiles of ", width, " × ", height, " tokens (expected some)");
    require<bad_config>(rate >= 0 && rate <= 1, "hired.rate: ", rate, " (expected 0 to 1)");
    require<bad_config>(alpha >= 0 && alpha <= 1, "hired.alpha: ", alpha, " (expected 0 to 1)");
  }
  void expect(std::size_t size, const char* what) const {
    error::require<error::bad_input>(size == tokens(), "hired: attention over ", size,
                                     " tokens of ", what, " (expected ", tokens(), ")");
  }
  /// Rounds down what is a whole number up to rounding.
  static std::size_t whole(double x) { return static_cast<std::size_t>(x + 1e-9); }

  std::size_t tile_of(std::size_t token) const {
    if (tiles == tiling::bands) return token * (partitions() - 1) / tokens();
    return token / width * down / height * across + token % width * across / width;
  }
  /// The largest, in rising order of tokens; NaN last.
  static std::vector<std::size_t> best(std::span<const float> x, std::size_t count) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      if (std::isnan(x[a]) != std::isnan(x[b])) return std::isnan(x[b]);
      return !std::isnan(x[a]) && x[a] != x[b] ? x[a] > x[b] : a < b;
    });
    order.resize(std::min(count, x.size()));
    std::sort(order.begin(), order.end());
    return order;
  }
  /// The tile with room that is furthest below its share, or the number of tiles.
  std::size_t neediest(const std::vector<std::size_t>& marks, const std::vector<std::size_t>& out,
                       std::size_t shared, std::size_t marked) const {
    std::size_t found = marks.size();
    double most = 0;
    for (std::size_t j = 0; j < marks.size(); ++j) {
      if (marked == 0 || out[j + 1] == tokens()) continue;
      const double lacks = static_cast<double>(shared * marks[j]) / static_cast<double>(marked) -
                           static_cast<double>(out[j + 1]);
      if (found == marks.size() || lacks > most) found = j, most = lacks;
    }
    return found;
  }
};

}  // namespace weir::inline WEIR_TARGET::reducers
