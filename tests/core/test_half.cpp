#include <weir/core/half.hpp>

#include "support/catch.hpp"

TEST_CASE("halves keep simple values") {
  CHECK(weir::to_float(weir::to_f16(1.5f)) == 1.5f);
  CHECK(weir::to_float(weir::to_bf16(1.5f)) == 1.5f);
}
