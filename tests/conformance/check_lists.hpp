// A policy list has the properties that every policy must have: with every codec and both kinds of
// positions, at three cadences, in both layouts, under speculation and chunks of any size.
#pragma once
#include <cstddef>
#include <string>

#include <weir/testing/conformance.hpp>

#include "support/catch.hpp"

namespace {

using namespace weir;

/// `make(entries)` gives a list. Checks caches of such lists with each codec.
template <class Positions, class Make>
void check_positions(const Make& make, const testing::conformance_options& options) {
  if constexpr (!(Positions::renumbers &&
                  keep_needs_original_positions<decltype(make(std::size_t{}))>)) {
    const auto check = [&]<class Codec>(const char* codec) {
      INFO(codec << (Positions::renumbers ? ", positions within the cache" : ""));
      for (const std::string& broken : testing::broken_properties<Codec, Positions>(make, options))
        FAIL_CHECK(broken);
    };
    check.template operator()<f32>("f32");
    check.template operator()<f16>("f16");
    check.template operator()<bf16>("bf16");
    check.template operator()<int8>("int8");
    check.template operator()<int4>("int4");
  }
}
template <class Make>
void check_lists(const Make& make, const testing::conformance_options& options) {
  check_positions<positions::original>(make, options);
  check_positions<positions::within_cache>(make, options);
}

}  // namespace
