// The calibration file of trigonometric scores, also in hostile hands.
#include <weir/cache/eviction/query_centres.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

using weir::query_centre_sums, weir::query_centres;
using weir::error::bad_file;
using weir_test::require_refused;

namespace {

weir::kv_shape shape() {
  weir::kv_shape s{.layers = 2, .q_heads = 3, .kv_heads = 1, .head_dim = 6};
  s.rope = {4, 10000, weir::rope_pairing::half_split};  // the last two elements never turn
  return s;
}

query_centres example() {
  query_centre_sums sums(shape());
  for (std::size_t layer = 0; layer < 2; ++layer)
    sums.add(layer, weir_test::random_floats(5 * 18, layer + 1));
  return sums.centres();
}

std::string with(std::string bytes, std::size_t offset, std::uint32_t word) {
  for (std::size_t i = 0; i < 4; ++i) bytes[offset + i] = static_cast<char>(word >> (8 * i));
  return bytes;
}

}  // namespace

TEST_CASE("centres are the means of complex pairs and of their magnitudes") {
  query_centre_sums sums(shape());
  std::vector<std::vector<float>> rows;
  for (std::uint64_t r = 0; r < 7; ++r) {
    rows.push_back(weir_test::random_floats(18, r + 1));
    for (std::size_t layer = 0; layer < 2; ++layer) {
      auto row = rows.back();
      for (float& x : row) x *= static_cast<float>(layer + 1);
      sums.add(layer, row);
    }
  }
  const auto found = sums.centres();
  const std::size_t first[] = {0, 1, 4}, second[] = {2, 3, 5};
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::size_t head = 0; head < 3; ++head)
      for (std::size_t f = 0; f < 3; ++f) {
        double x = 0, y = 0, length = 0;
        for (const auto& row : rows) {
          const double a = row[head * 6 + first[f]], b = row[head * 6 + second[f]];
          x += a / 7, y += b / 7, length += std::hypot(a, b) / 7;
        }
        const double scale = static_cast<double>(layer + 1);
        CHECK(std::abs(found.centre(layer, head, f).real() - scale * x) <= 1e-5);
        CHECK(std::abs(found.centre(layer, head, f).imag() - scale * y) <= 1e-5);
        CHECK(std::abs(found.magnitude(layer, head, f) - scale * length) <= 1e-5);
      }
}

TEST_CASE("sums refuse rows that are not whole, layers that are not there, and means of nothing") {
  query_centre_sums sums(shape());
  const volatile std::size_t behind = 2;  // g++ 12 would warn of the access that is refused
  require_refused<weir::error::bad_input>([&] { sums.add(0, std::vector<float>(17)); }, {"17"});
  require_refused<weir::error::bad_input>([&] { sums.add(behind, std::vector<float>(18)); },
                                          {"layer 2"});
  sums.add(0, std::vector<float>(18));
  require_refused<weir::error::bad_call>([&] { (void)sums.centres(); }, {"layer 1", "no rows"});
}

TEST_CASE("a calibration file gives back what was saved") {
  const auto saved = example();
  const std::string path =
      (std::filesystem::temp_directory_path() / "weir_query_centres_test.bin").string();
  saved.save(path);
  const auto loaded = query_centres::load(path);
  std::filesystem::remove(path);
  CHECK(loaded.fits(shape()));
  CHECK(loaded.bytes() == saved.bytes());
  CHECK(loaded.centre(1, 2, 1) == saved.centre(1, 2, 1));
  CHECK(loaded.magnitude(1, 2, 2) == saved.magnitude(1, 2, 2));
  require_refused<bad_file>([&] { (void)query_centres::load(path); }, {path, "cannot be read"});
  require_refused<bad_file>([&] { saved.save("/no/such/folder/x"); }, {"cannot be written"});
}

TEST_CASE("bytes mean the same on every machine") {
  const std::string bytes = example().bytes();
  CHECK(bytes.size() == 40 + 2 * 3 * 3 * 3 * 4);
  CHECK(bytes.substr(0, 8) == "weirqcen");
  CHECK(bytes.substr(8, 4) == std::string("\1\0\0\0", 4));
  CHECK(bytes.substr(12, 4) == std::string("\2\0\0\0", 4));
}

TEST_CASE("fits says whether every number of a shape is the same") {
  const auto centres = example();
  CHECK(centres.fits(shape()));
  for (int i = 0; i < 6; ++i) {
    auto s = shape();
    if (i == 0) s.layers = 3;
    if (i == 1) s.q_heads = 4;
    if (i == 2) s.head_dim = 8;
    if (i == 3) s.rope.dims = 6;
    if (i == 4) s.rope.base = 500000;
    if (i == 5) s.rope.pairing = weir::rope_pairing::interleaved;
    CHECK_FALSE(centres.fits(s));
  }
}

TEST_CASE("files cut short or with more behind them are refused at every length") {
  const std::string bytes = example().bytes();
  for (std::size_t n = 0; n < bytes.size(); ++n)
    require_refused<bad_file>([&] { (void)query_centres::parse(bytes.substr(0, n), "f"); },
                              {"f: "});
  for (const std::size_t more : {1u, 4u, 12u})
    require_refused<bad_file>(
        [&] { (void)query_centres::parse(bytes + std::string(more, '\0'), "f"); },
        {"f: byte 12", "expected"});
}

TEST_CASE("what breaks a rule is named with its place") {
  const std::string bytes = example().bytes();
  const auto refused = [](const std::string& b, std::initializer_list<std::string_view> parts) {
    require_refused<bad_file>([&] { (void)query_centres::parse(b, "calibration"); }, parts);
  };
  refused(with(bytes, 0, 0), {"calibration: byte 0", "expected 'weirqcen'"});
  refused(with(bytes, 8, 2), {"byte 8", "version 2", "expected 1"});
  refused(with(bytes, 12, 0), {"byte 12", "size 0"});
  refused(with(bytes, 12, 0xFFFFFFFF), {"byte 12", "4294967295"});
  refused(with(bytes, 16, 1u << 20), {"byte 12", "1048576 heads"});
  refused(with(bytes, 20, 7), {"calibration", "head_dim of 7"});  // pairs as before
  refused(with(bytes, 24, 8), {"calibration", "rope.dims"});      // more than head_dim
  refused(with(bytes, 24, 3), {"calibration", "rope.dims"});      // odd
  refused(with(bytes, 28, 2), {"byte 28", "pairing 2"});
  refused(with(bytes, 36, 0x7FF00000), {"calibration", "rope.base"});  // ∞ or NaN
  refused(with(bytes, 36, 0xC0C38800), {"calibration", "rope.base"});  // negative
  for (const float x :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    refused(with(bytes, 44, std::bit_cast<std::uint32_t>(x)), {"byte 44", "finite"});
  refused(with(bytes, 48, std::bit_cast<std::uint32_t>(-1.0f)), {"byte 48", "at least 0"});
}
