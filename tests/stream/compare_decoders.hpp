// A decoder that drafts beside one that does not: what can be seen of them must be the same.
#pragma once

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <weir/stream/text_decoder.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"

namespace weir_test {

inline constexpr std::string_view repeating_prompt =
    "It was a dark night, and the rain fell. It was a dark night, and the";

template <class Cache>
bool same_caches(const Cache& a, const Cache& b) {  // rings of drafting caches are longer
  return weir::testing::same_entries(a, b, a.shape(), true);
}

/// Takes tokens from both decoders in the same portions, and compares what can be seen of them.
template <class Plain, class Drafting>
void compare(Plain& plain, Drafting& drafting) {
  using namespace weir;
  constexpr std::size_t portions[] = {1, 2, 3, 1, 1, 7, 4, 40, 1, 5, 33};
  struct seen {
    std::vector<token_id> ids;
    std::string text;
    std::vector<std::vector<float>> logits;
  };
  const auto take = [](auto& decoder, bool starts, std::size_t portion) {
    seen s;
    const auto show = [&](const token_event& e) {
      s.ids.push_back(e.id);
      s.text += e.text;
      s.logits.emplace_back(decoder.logits().begin(), decoder.logits().end());
      REQUIRE(e.index == decoder.length());
      return s.ids.size() < portion;
    };
    starts ? decoder.generate(repeating_prompt, show) : decoder.resume(show);
    return s;
  };
  for (std::size_t i = 0; i < std::size(portions); ++i) {
    INFO("portion " << i << " of " << portions[i] << " tokens");
    const seen a = take(plain, i == 0, portions[i]), b = take(drafting, i == 0, portions[i]);
    REQUIRE(a.ids == b.ids);
    REQUIRE(a.text == b.text);
    REQUIRE(a.logits.size() == b.logits.size());
    for (std::size_t t = 0; t < a.logits.size(); ++t)
      REQUIRE(testing::same_bits(a.logits[t], b.logits[t]));
    REQUIRE(plain.length() == drafting.length());
    REQUIRE(plain.finished() == drafting.finished());
    REQUIRE(plain.cache().length() == drafting.cache().length());
    REQUIRE(same_caches(plain.cache(), drafting.cache()));
  }
}

}  // namespace weir_test
