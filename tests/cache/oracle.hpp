// What a cache must compute, written to be read: every token's raw key and value is kept for ever,
// each row works out anew which of them it reads and where they stand, and sums are in double.
// Shares nothing with the cache but the rounding of one number to a codec.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "cache/any_cache.hpp"

namespace weir_test {

class oracle {
 public:
  using vector = std::vector<double>;

  explicit oracle(const setup& s)
      : s_(s), tokens_(s.shape.layers), kept_(s.shape.layers * s.shape.kv_heads) {
    for (std::size_t i = 0; i < s.shape.rope.dims; i += 2)
      speeds_.push_back(
          std::pow(static_cast<long double>(s.shape.rope.base),
                   -static_cast<long double>(i) / static_cast<long double>(s.shape.rope.dims)));
  }

  /// One more token in `layer`: k and v `[kv_head, head_dim]`.
  void append(std::size_t layer, const float* k, const float* v) {
    token t;
    const std::uint64_t index = s_.options.first_index + tokens_[layer].size();
    for (std::size_t h = 0; h < s_.shape.kv_heads; ++h) {
      vector key(k + h * dim(), k + (h + 1) * dim()), value(v + h * dim(), v + (h + 1) * dim());
      if (stored_rotated()) key = turned(key, index);
      double sum = 0;
      if (s_.stored == codec::int8 || s_.stored == codec::int4) {
        round_groups(key);
        round_groups(value);
      } else {
        round_key(key);
        for (double& x : value) x = rounded(x);
      }
      for (const double x : key) sum += x * x;
      t.norm.push_back(std::sqrt(sum));
      t.key.push_back(key);
      t.value.push_back(value);
    }
    tokens_[layer].push_back(t);
  }

  /// Which tokens row t reads in a KV head, counted from the stream's first, rising.
  std::vector<std::size_t> reads(std::size_t layer, std::size_t head, std::size_t t) {
    std::vector<std::size_t> list;
    if (s_.keeps == policy::scored) {
      const std::size_t boundary = t / s_.options.cadence * s_.options.cadence;
      list = kept_at(layer, head, boundary);
      for (std::size_t i = boundary; i <= t; ++i) list.push_back(i);
      return list;
    }
    const std::size_t sinks = s_.keeps == policy::sinks_window ? s_.sinks : 0;
    for (std::size_t i = 0; i <= t; ++i)
      if (s_.keeps == policy::everything || i < sinks || t - i < s_.window) list.push_back(i);
    return list;
  }

  /// Output of row t: q `[q_head, head_dim]`, and so the result.
  vector attend(std::size_t layer, const float* q, std::size_t t) {
    vector out;
    const std::size_t group = s_.shape.q_heads / s_.shape.kv_heads;
    for (std::size_t head = 0; head < s_.shape.kv_heads; ++head) {
      const auto list = reads(layer, head, t);
      const auto place = [&](std::size_t rank) -> std::uint64_t {
        return s_.renumbers ? rank : s_.options.first_index + list[rank];
      };
      std::vector<vector> keys;
      for (std::size_t i = 0; i < list.size(); ++i) {
        const std::uint64_t turned_to = stored_rotated() ? s_.options.first_index + list[i] : 0;
        const vector& key = tokens_[layer][list[i]].key[head];
        keys.push_back(place(i) == turned_to ? key : turned(key, place(i) - turned_to));
      }
      for (std::size_t q_head = head * group; q_head < (head + 1) * group; ++q_head) {
        const vector raw(q + q_head * dim(), q + (q_head + 1) * dim());
        // Where the query stands towards the window, and towards the sinks once they are far.
        const std::uint64_t here = s_.options.first_index + t,
                            there = s_.options.first_index + s_.sinks + s_.window - 1;
        const vector near = seen_from(raw, here, place(list.size() - 1)),
                     far = seen_from(raw, there, place(list.size() - 1));
        vector score(list.size());
        for (std::size_t i = 0; i < list.size(); ++i) {
          const bool from_afar = s_.keeps == policy::sinks_window && s_.renumbers && here > there &&
                                 list[i] < s_.sinks;
          const vector& query = from_afar ? far : near;
          for (std::size_t d = 0; d < dim(); ++d) score[i] += query[d] * keys[i][d];
          score[i] *= s_.shape.scale != 0 ? double{s_.shape.scale}
                                          : 1 / std::sqrt(static_cast<double>(dim()));
        }
        const double most = *std::max_element(score.begin(), score.end());
        double sum = 0;
        for (double& x : score) sum += x = std::exp(x - most);
        for (std::size_t d = 0; d < dim(); ++d) {
          double mean = 0;
          for (std::size_t i = 0; i < list.size(); ++i)
            mean += score[i] / sum * tokens_[layer][list[i]].value[head][d];
          out.push_back(mean);
        }
      }
    }
    return out;
  }

 private:
  struct token {
    std::vector<vector> key, value;  // [kv_head][head_dim], as stored
    vector norm;                     // [kv_head], of the stored key
  };

  std::size_t dim() const { return s_.shape.head_dim; }

  /// Scored policies under renumbering keep keys unrotated; all others rotate, then round.
  bool stored_rotated() const { return !(s_.keeps == policy::scored && s_.renumbers); }

  double rounded(double x) const {
    const auto f = static_cast<float>(x);
    switch (s_.stored) {
      case codec::f16:
        return double{weir::to_float(weir::round_to<weir::f16>(f))};
      case codec::bf16:
        return double{weir::to_float(weir::round_to<weir::bf16>(f))};
      default:
        return double{f};
    }
  }

  /// The query at position `place`. If it meets integers as they are stored, it is rounded to 8
  /// bits where it stands, at `position`.
  vector seen_from(const vector& query, std::uint64_t position, std::uint64_t place) const {
    if ((s_.stored != codec::int8 && s_.stored != codec::int4) || !stored_rotated())
      return turned(query, place);
    vector x = turned(query, position);
    double largest = 0;
    for (const double e : x) largest = std::max(largest, std::abs(e));
    for (double& e : x) e = std::nearbyint(e * 127 / largest) * largest / 127;
    return turned(x, place - position);
  }

  /// Rounds to integers that share a scale: int8 from -127 to 127 in all of the head; int4 from -8
  /// to 7 in groups of 32, where the number of the largest magnitude becomes -8.
  void round_groups(vector& x) const {
    const std::size_t group = s_.stored == codec::int8 ? x.size() : 32;
    for (std::size_t first = 0; first < x.size(); first += group) {
      const std::size_t last = std::min(first + group, x.size());
      double extreme = 0;
      for (std::size_t i = first; i < last; ++i)
        if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
      float scale = static_cast<float>(std::abs(extreme)) / 127;
      if (s_.stored == codec::int4)
        scale = weir::to_float(weir::to_bf16(static_cast<float>(extreme) / -8));
      if (scale == 0) continue;
      for (std::size_t i = first; i < last; ++i) {
        const double code = std::nearbyint(x[i] / double{scale});
        x[i] =
            double{scale} * (s_.stored == codec::int8 ? code : std::min(std::max(code, -8.0), 7.0));
      }
    }
  }

  /// Rounds a key: of the four neighbours in storage a RoPE pair takes the one with the least
  /// error, what lies across the key counted twice. Elements that never turn go to the nearest.
  void round_key(vector& key) const {
    for (std::size_t i = s_.shape.rope.dims; i < dim(); ++i) key[i] = rounded(key[i]);
    for (std::size_t i = 0; i < speeds_.size(); ++i) {
      const auto [a, b] = pair(i);
      const double x = key[a], y = key[b];
      double least = INFINITY;
      for (const double u : {below(x), above(x)})
        for (const double w : {below(y), above(y)}) {
          const double along = (u - x) * x + (w - y) * y, across = (u - x) * y - (w - y) * x;
          const double error = along * along + 2 * across * across;
          if (error >= least) continue;
          least = error;
          key[a] = u;
          key[b] = w;
        }
    }
  }
  /// The representable numbers on both sides of x.
  double below(double x) const { return std::floor(x / spacing(x)) * spacing(x); }
  double above(double x) const { return std::ceil(x / spacing(x)) * spacing(x); }
  double spacing(double x) const {
    const int bits = s_.stored == codec::f32 ? 23 : s_.stored == codec::f16 ? 10 : 7;
    const int lowest = s_.stored == codec::f16 ? -14 : -126;
    return std::ldexp(1.0, std::max(x == 0 ? lowest : std::ilogb(x), lowest) - bits);
  }

  /// The two elements that turn together.
  std::array<std::size_t, 2> pair(std::size_t i) const {
    if (s_.shape.rope.pairing == weir::rope_pairing::half_split) return {i, i + speeds_.size()};
    return {2 * i, 2 * i + 1};
  }

  /// x rotated by p positions; p may be negative.
  vector turned(vector x, std::uint64_t p) const {
    const auto by = static_cast<long double>(static_cast<std::int64_t>(p));
    for (std::size_t i = 0; i < speeds_.size(); ++i) {
      const auto angle =
          static_cast<double>(std::fmod(by * speeds_[i], 2 * std::numbers::pi_v<long double>));
      const auto [a, b] = pair(i);
      const double u = x[a], v = x[b];
      x[a] = u * std::cos(angle) - v * std::sin(angle);
      x[b] = u * std::sin(angle) + v * std::cos(angle);
    }
    return x;
  }

  /// What is left of the tokens before `boundary` once it has run. Boundaries are asked for in
  /// rising order.
  const std::vector<std::size_t>& kept_at(std::size_t layer, std::size_t head,
                                          std::size_t boundary) {
    kept_set& k = kept_[layer * s_.shape.kv_heads + head];
    while (k.boundary < boundary) {
      std::vector<std::size_t> all = k.tokens, stay;
      for (std::size_t i = k.boundary; i < k.boundary + s_.options.cadence; ++i) all.push_back(i);
      k.boundary += s_.options.cadence;

      const auto select = [&](std::size_t i) {
        stay.push_back(i);
        all.erase(std::find(all.begin(), all.end(), i));
      };
      for (std::size_t i = 0; i < s_.sinks; ++i)
        if (std::find(all.begin(), all.end(), i) != all.end()) select(i);
      for (std::size_t n = 0; n < s_.window && !all.empty(); ++n) select(all.back());
      for (std::size_t n = 0; n < s_.scored && !all.empty(); ++n) {
        std::size_t best = all.front();
        for (const std::size_t i : all)
          if (norm(layer, head, i) > norm(layer, head, best)) best = i;
        select(best);
      }
      std::sort(stay.begin(), stay.end());
      k.tokens = stay;
    }
    return k.tokens;
  }

  double norm(std::size_t layer, std::size_t head, std::size_t i) const {
    return tokens_[layer][i].norm[head];
  }

  struct kept_set {
    std::size_t boundary = 0;
    std::vector<std::size_t> tokens;
  };

  setup s_;
  std::vector<long double> speeds_;         // [pair] radians a position
  std::vector<std::vector<token>> tokens_;  // [layer][token]
  std::vector<kept_set> kept_;              // [layer, kv_head]
};

}  // namespace weir_test
