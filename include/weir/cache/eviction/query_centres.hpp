// Query centres: what trigonometric scores know of a model. A calibration, made once from ordinary
// text.
//
// Before rotation, the two elements that turn together are a complex number. For each layer, query
// head and pair it keeps the mean of that number over rows, and the mean of its magnitude. Elements
// that never turn are paired with their neighbours.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

class query_centres {
 public:
  /// Zeros; see query_centre_sums.
  explicit query_centres(const kv_shape& shape)
      : layers_(shape.layers),
        q_heads_(shape.q_heads),
        head_dim_(shape.head_dim),
        rope_(shape.rope) {
    validate(shape);
    error::require<error::bad_config>(head_dim_ % 2 == 0, "query_centres: head_dim of ", head_dim_,
                                      " (expected even)");
    numbers_.resize(layers_ * q_heads_ * pairs() * 3);
  }

  std::size_t layers() const { return layers_; }
  std::size_t q_heads() const { return q_heads_; }
  const rope_shape& rope() const { return rope_; }
  std::size_t pairs() const { return head_dim_ / 2; }
  /// `use(pair, element, element)` for all pairs: those that turn together, then neighbours. Loops
  /// of fixed steps, of which compilers take many at a time.
  template <class Use>
  void for_each_pair(Use use) const {
    std::size_t f = 0;
    if (const std::size_t half = rope_.dims / 2; rope_.pairing == rope_pairing::half_split)
      for (; f < half; ++f) use(f, f, f + half);
    for (; f < pairs(); ++f) use(f, 2 * f, 2 * f + 1);
  }
  /// Mean of a pair, and mean of its magnitude.
  std::complex<float> centre(std::size_t layer, std::size_t q_head, std::size_t pair) const {
    const float* const n = &numbers_[at(layer, q_head, pair)];
    return {n[0], n[1]};
  }
  float magnitude(std::size_t layer, std::size_t q_head, std::size_t pair) const {
    return numbers_[at(layer, q_head, pair) + 2];
  }
  void set(std::size_t layer, std::size_t q_head, std::size_t pair, std::complex<float> centre,
           float magnitude) {
    float* const n = &numbers_[at(layer, q_head, pair)];
    n[0] = centre.real(), n[1] = centre.imag(), n[2] = magnitude;
  }

  /// True if made from a model of this shape.
  bool fits(const kv_shape& s) const {
    return s.layers == layers_ && s.q_heads == q_heads_ && s.head_dim == head_dim_ &&
           s.rope.dims == rope_.dims && s.rope.base == rope_.base &&
           s.rope.pairing == rope_.pairing;
  }

  /// The calibration as a file: magic, version, sizes, rope, numbers; all little-endian.
  std::string bytes() const {
    std::string out(magic);
    for (const std::size_t n : {std::size_t{version}, layers_, q_heads_, head_dim_, rope_.dims,
                                static_cast<std::size_t>(rope_.pairing)})
      put(out, static_cast<std::uint32_t>(n));
    put(out, std::bit_cast<std::uint64_t>(rope_.base));
    for (const float x : numbers_) put(out, std::bit_cast<std::uint32_t>(x));
    return out;
  }
  /// Throws error::bad_file unless `bytes` are a calibration; `name` is for the message.
  static query_centres parse(std::string_view bytes, std::string_view name) {
    const auto require = [&](bool holds, std::size_t offset, const auto&... what) {
      error::require<error::bad_file>(holds, name, ": byte ", offset, ": ", what...);
    };
    require(bytes.size() >= header, bytes.size(), "the file ends (expected a header of ", header,
            " bytes)");
    require(bytes.starts_with(magic), 0, "not a calibration of query centres (expected '", magic,
            "')");
    const auto word = [&](std::size_t i) {
      return static_cast<std::uint32_t>(get(bytes, header_word(i), 4));
    };
    require(word(0) == version, header_word(0), "version ", word(0), " (expected ", version, ")");
    require(word(5) <= 1, header_word(5), "rope pairing ", word(5), " (expected 0 or 1)");
    kv_shape shape{.layers = word(1), .q_heads = word(2), .kv_heads = 1, .head_dim = word(3)};
    shape.rope = {word(4), std::bit_cast<double>(get(bytes, 32, 8)),
                  static_cast<rope_pairing>(word(5))};
    // Sizes first: nothing is allocated for what the file does not hold.
    for (std::size_t i = 1; i < 4; ++i)
      require(word(i) > 0 && word(i) <= 1u << 20, header_word(i), "size ", word(i),
              " (expected 1 to 2^20)");
    const std::uint64_t count = std::uint64_t{word(1)} * word(2) * (word(3) / 2) * 3;
    require(count * 4 + header == bytes.size(), header_word(1), word(1), " layers of ", word(2),
            " heads of ", word(3), " elements in ", bytes.size(), " bytes (expected ",
            count * 4 + header, ")");
    query_centres result = error::attempt<error::bad_config>(
        [&] { return query_centres(shape); },
        [&](const error::bad_config& e) -> query_centres {
          error::raise<error::bad_file>(name, ": byte 12: ", e.what());
        });
    for (std::size_t i = 0; i < result.numbers_.size(); ++i) {
      const auto x =
          std::bit_cast<float>(static_cast<std::uint32_t>(get(bytes, header + 4 * i, 4)));
      require(std::isfinite(x), header + 4 * i, "number ", x, " (expected finite)");
      require(i % 3 != 2 || x >= 0, header + 4 * i, "magnitude ", x, " (expected at least 0)");
      result.numbers_[i] = x;
    }
    return result;
  }

  void save(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    const std::string all = bytes();
    file.write(all.data(), static_cast<std::streamsize>(all.size()));
    file.close();
    error::require<error::bad_file>(!file.fail(), path, ": cannot be written");
  }
  static query_centres load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    error::require<error::bad_file>(file.is_open() && !file.bad(), path, ": cannot be read");
    return parse(all, path);
  }

 private:
  static constexpr std::string_view magic{"weirqcen"};
  static constexpr std::uint32_t version = 1;
  static constexpr std::size_t header = 40;
  static constexpr std::size_t header_word(std::size_t i) { return magic.size() + 4 * i; }

  std::size_t at(std::size_t layer, std::size_t q_head, std::size_t pair) const {
    return ((layer * q_heads_ + q_head) * pairs() + pair) * 3;
  }
  template <class Word>
  static void put(std::string& out, Word x) {
    for (std::size_t i = 0; i < sizeof x; ++i)
      out.push_back(static_cast<char>(static_cast<unsigned char>(x >> (8 * i))));
  }
  static std::uint64_t get(std::string_view bytes, std::size_t offset, std::size_t size) {
    std::uint64_t x = 0;
    for (std::size_t i = 0; i < size; ++i)
      x |= std::uint64_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
    return x;
  }

  std::size_t layers_, q_heads_, head_dim_;
  rope_shape rope_;
  std::vector<float> numbers_;  // [layer, q_head, pair, {real, imaginary, magnitude}]
};

/// Sums queries up, row by row: give it what a forward pass hands to attention.
class query_centre_sums {
 public:
  explicit query_centre_sums(const kv_shape& shape)
      : shape_(shape),
        zeros_(shape),
        sums_(shape.layers * shape.q_heads * zeros_.pairs() * 3),
        rows_(shape.layers) {}

  /// Queries `[row, q_head, head_dim]` of one layer, not rotated.
  void add(std::size_t layer, std::span<const float> queries) {
    const std::size_t width = shape_.q_heads * shape_.head_dim, pairs = zeros_.pairs();
    error::require<error::bad_input>(layer < shape_.layers && queries.size() % width == 0,
                                     "query_centre_sums: ", queries.size(), " numbers in layer ",
                                     layer, " (expected rows of ", width, " in one of ",
                                     shape_.layers, " layers)");
    for (std::size_t from = 0; from < queries.size(); from += shape_.head_dim) {
      const std::size_t q_head = from % width / shape_.head_dim;
      double* sum = &sums_[(layer * shape_.q_heads + q_head) * pairs * 3];
      zeros_.for_each_pair([&](std::size_t i, std::size_t a, std::size_t b) {
        const double x = queries[from + a], y = queries[from + b];
        sum[3 * i] += x, sum[3 * i + 1] += y, sum[3 * i + 2] += std::sqrt(x * x + y * y);
      });
    }
    rows_[layer] += queries.size() / width;
  }

  /// The means so far. Throws error::bad_call where a layer has none.
  query_centres centres() const {
    query_centres result = zeros_;
    const double* sum = sums_.data();
    for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
      error::require<error::bad_call>(rows_[layer] > 0, "query_centre_sums: layer ", layer,
                                      " has no rows (expected at least 1)");
      const auto n = static_cast<double>(rows_[layer]);
      for (std::size_t head = 0; head < shape_.q_heads; ++head)
        for (std::size_t i = 0; i < zeros_.pairs(); ++i, sum += 3)
          result.set(layer, head, i,
                     {static_cast<float>(sum[0] / n), static_cast<float>(sum[1] / n)},
                     static_cast<float>(sum[2] / n));
    }
    return result;
  }

 private:
  kv_shape shape_;
  query_centres zeros_;
  std::vector<double> sums_;  // as query_centres' numbers
  std::vector<std::uint64_t> rows_;
};

}  // namespace weir::inline WEIR_TARGET
