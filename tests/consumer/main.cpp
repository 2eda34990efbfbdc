// What a user's first file looks like, built in each of the ways there are to use weir.
#include <weir/core/half.hpp>
#include <weir/version.hpp>

#include <cstdio>

int main() {
  const weir::f16 half = weir::to_f16(0.1f);
  std::printf("weir %d.%d.%d: 0.1 as f16 is %.9f\n", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
              WEIR_VERSION_PATCH, static_cast<double>(weir::to_float(half)));
}
