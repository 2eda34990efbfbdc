// The authors' sizes, as recipes give them.
#include <cstddef>
#include <tuple>
#include <type_traits>

#include <weir/presets.hpp>

#include "support/catch.hpp"

namespace {

using namespace weir;
namespace recipes = weir::presets::recipes;

template <std::size_t I, class Keep>
const auto& policy(const Keep& keep) {
  return std::get<I>(keep.policies);
}

}  // namespace

TEST_CASE("sinks and windows have their authors' sizes") {
  CHECK(policy<0>(recipes::streaming_llm::authors()).budget == 4);
  CHECK(policy<1>(recipes::streaming_llm::authors()).budget == 2000);
  CHECK(policy<0>(recipes::meshtron::authors()).budget == 8192);
  const auto duo = recipes::duo_attention::authors({0, 1}, 100);
  CHECK(policy<0>(duo.a).budget == 64);
  CHECK(policy<1>(duo.a).budget == 256);
  CHECK(duo.b.capacity == 100);
}

TEST_CASE("policies that go by attention have their authors' sizes") {
  CHECK(policy<0>(recipes::h2o::authors()).budget == 512);
  CHECK(policy<1>(recipes::h2o::authors()).budget == 4);
  CHECK(policy<1>(recipes::h2o::authors()).by == heavy_sum::plain);
  CHECK(policy<1>(recipes::h2o_per_row::authors()).by == heavy_sum::per_row);

  const auto keyformer = recipes::keyformer::authors();  // 60 % of 2048 tokens, 30 % of it recent
  CHECK(policy<0>(keyformer).budget == 368);
  CHECK(policy<1>(keyformer).budget == 860);
  CHECK(policy<1>(keyformer).tau_init == 1);
  CHECK(policy<1>(keyformer).tau_end == 2);
  CHECK(policy<1>(keyformer).temperature(2047) == 1);  // the prompt's last token
  CHECK(policy<1>(keyformer).temperature(2048) > 1);
  CHECK(policy<1>(keyformer).temperature(2048 + 1023) == 2);

  const auto snapkv = recipes::snapkv::authors();
  CHECK(policy<0>(snapkv).budget == 64);
  CHECK(policy<1>(snapkv).budget == 256);
  CHECK(policy<1>(snapkv).rows == 64);
  CHECK(2 * policy<1>(snapkv).pool_radius + 1 == 5);
  const auto pyramid = recipes::pyramidkv::authors();
  CHECK(policy<0>(pyramid).budget == 32);
  CHECK(policy<0>(pyramid).budget + policy<1>(pyramid).budget == 2048);
  CHECK(policy<1>(pyramid).beta == 20);
  CHECK(policy<1>(recipes::ada_kv::authors()).alpha == .2f);

  const auto d2o = recipes::d2o::authors();
  CHECK(policy<0>(d2o).budget == 4);
  CHECK(policy<1>(d2o).budget == policy<2>(d2o).budget);
  CHECK(policy<3>(d2o).alpha == .5f);
  CHECK(policy<3>(d2o).beta == .5f);

  const auto blocks = recipes::kvcrush_blocks::authors();
  CHECK(policy<0>(blocks).budget == 32);
  CHECK(policy<1>(blocks).budget == 128);
  CHECK(policy<2>(blocks).block == 32);
  CHECK(policy<2>(blocks).representatives == 2);
  CHECK(32 + 128 + policy<2>(blocks).budget == 672 + 2 * 32);
  CHECK(policy<2>(blocks).by == heavy_sum::per_row);
}

TEST_CASE("policies that go by tokens and keys have their authors' sizes") {
  const auto sirllm = recipes::sirllm::authors();
  CHECK(policy<0>(sirllm).budget == 4);
  CHECK(policy<1>(sirllm).budget == 1020);
  CHECK(policy<1>(sirllm).decay == 1);
  CHECK(policy<2>(sirllm).budget == 0);
  CHECK(policy<2>(recipes::triattention::authors()).budget == 2048);
  CHECK(policy<1>(recipes::expected_attention::authors()).covariance);
  CHECK(policy<1>(recipes::expected_attention::authors()).ahead == 512);
  CHECK(policy<1>(recipes::expected_attention::authors()).first == 4);
}

TEST_CASE("video has its authors' sizes") {
  const auto vggt = recipes::infinite_vggt::authors();
  CHECK(24 * (policy<0>(vggt).budget + policy<1>(vggt).budget) == 1'200'000);
  CHECK(policy<1>(vggt).temperature == .5f);
  const auto vlm = recipes::streaming_vlm::authors();
  CHECK(policy<0>(vlm).kinds[0].first == 512);
  CHECK(policy<0>(vlm).kinds[0].last == 512);
  const std::size_t frame = 1560;
  const auto rolling = recipes::rolling_forcing::authors();
  CHECK(policy<0>(rolling).budget == 3 * frame);
  CHECK(policy<0>(rolling).budget + policy<1>(rolling).budget + 3 * frame == 21 * frame);
  const auto motion = recipes::motion_stream::authors();  // c3s1w1
  CHECK(policy<0>(motion).budget == 3 * frame);
  CHECK(policy<1>(motion).budget == 3 * frame);
  const auto diffusion = recipes::stream_diffusion_v2::authors();
  CHECK(policy<0>(diffusion).chunks == 3);
  CHECK(policy<0>(diffusion).threshold == .2f);
  CHECK(policy<0>(diffusion).chunks + policy<1>(diffusion).chunks + 1 == 6);
  CHECK(policy<1>(recipes::livevlm::authors()).capacity == 1);
}

TEST_CASE("every recipe shares out what it is given") {
  const auto shares = []<class Recipe>(std::type_identity<Recipe>) {
    for (const std::size_t entries : {16u, 17u, 32u, 100u, 224u, 1000u}) {
      INFO(Recipe::name << " of " << entries);
      const std::size_t budget =
          Recipe::of({.entries = entries, .cadence = 32}).sum([](const auto& m) {
            return m.budget;
          });
      CHECK(budget <= entries);
      CHECK(budget > entries / 2);
    }
  };
  [&]<class... Recipes>(const std::tuple<Recipes...>*) {
    (shares(std::type_identity<Recipes>{}), ...);
  }(static_cast<recipes::all*>(nullptr));
}
