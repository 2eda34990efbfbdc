#include <weir/simd/key_sums.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"

namespace simd = weir::simd;

namespace {

/// Bytes that are all alike, or random: round 0 … 2 the least, the largest, alternately both.
template <class T>
std::vector<T> bytes(std::size_t n, std::uint32_t round, int least, int most) {
  std::vector<T> all(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    const auto random = static_cast<int>(weir::philox({i, round, 0, 0}, {})[0] >> 8);
    const int extreme = round == 0 || (round == 2 && i % 2 == 0) ? least : most;
    all[i] = static_cast<T>(round < 3 ? extreme : least + random % (most - least + 1));
  }
  return all;
}

/// A group's keys in one register's lanes, times a query.
template <class A, std::size_t Bits>
void check_key_sums(std::uint32_t codes_round, std::uint32_t query_round) {
  using sums = simd::key_sums<A, Bits>;
  constexpr std::size_t lanes = simd::lanes<A>, rows = Bits == 8 ? 128 : 4, elements = 32 / Bits;
  const auto codes = bytes<std::uint8_t>(rows * 4 * lanes, codes_round, 0, 255);
  const auto query = bytes<std::int16_t>(rows * elements, query_round, -127, 127);
  sums sum(-5);
  for (std::size_t row = 0; row < rows; ++row) {
    std::array<typename sums::four, elements / 4> x;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = sums::pack(&query[row * elements + 4 * i]);
    sum.add(sums::load(&codes[row * 4 * lanes]), x.data());
  }
  float found[lanes];
  simd::store<A>(found, simd::kv_dots<A>::to_floats(sum.total(-5)));
  for (std::size_t l = 0; l < lanes; ++l) {
    std::int32_t expected = -5;
    for (std::size_t k = 0; k < rows * elements; ++k) {
      const std::uint8_t byte = codes[(k / elements * lanes + l) * 4 + k % 4];
      expected += query[k] * (Bits == 8 ? byte : k % elements < 4 ? byte & 15 : byte >> 4);
    }
    REQUIRE(found[l] == static_cast<float>(expected));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("sums of a query's products with keys are exact", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  for (std::uint32_t codes = 0; codes < 8; ++codes)
    for (std::uint32_t query = 0; query < 8; ++query) {
      check_key_sums<TestType, 8>(codes, query);
      check_key_sums<TestType, 4>(codes, query);
    }
}

#if defined(__AVX2__) && defined(__F16C__)

TEMPLATE_TEST_CASE("as many products as are said to fit into 16 bits do", "", weir_test::native,
                   weir_test::avx2) {
  using dots = simd::byte_dots<TestType>;
  if constexpr (requires { &dots::add_products; }) {
    using ints = simd::ints<TestType>;
    constexpr std::size_t lanes = simd::lanes<TestType>;
    for (const int end : {16, 32, 64, 128})
      for (std::uint32_t round = 0; round < 64; ++round) {
        const auto n = static_cast<std::size_t>(dots::products_in_16_bits(end));
        const auto codes = bytes<std::uint8_t>(n * 4 * lanes, round / 8, 0, end - 1);
        const auto x = bytes<std::int8_t>(n * 4 * lanes, round % 8, -127, 127);
        const auto load = [&](const auto& from, std::size_t i) {
          const void* const at = &from[i * 4 * lanes];
          return ints::load_unaligned(static_cast<const std::int32_t*>(at));
        };
        ints pairs = dots::products(load(codes, 0), load(x, 0));
        for (std::size_t i = 1; i < n; ++i)
          pairs = dots::add_products(pairs, load(codes, i), load(x, i));
        std::int32_t found[lanes];
        dots::widen(ints(7), pairs).store_unaligned(found);
        for (std::size_t l = 0; l < lanes; ++l) {
          std::int32_t expected = 7;
          for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = (i * lanes + l) * 4; j < (i * lanes + l) * 4 + 4; ++j)
              expected += codes[j] * x[j];
          REQUIRE(found[l] == expected);
        }
      }
  }
}

#endif
