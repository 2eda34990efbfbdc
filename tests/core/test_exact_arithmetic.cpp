// Arithmetic that is not what the source says is found out at start-up.
#include <weir/core/exact_arithmetic.hpp>

#include "support/catch.hpp"

TEST_CASE("a build that contracts is refused, one that does not is not") {
#if defined(WEIR_TEST_CONTRACTS) && (defined(__FMA__) || defined(__aarch64__)) && \
    defined(__OPTIMIZE__)
  REQUIRE_THROWS_AS(weir::require_exact_arithmetic(), weir::error::bad_config);
#else
  REQUIRE_NOTHROW(weir::require_exact_arithmetic());
#endif
}
