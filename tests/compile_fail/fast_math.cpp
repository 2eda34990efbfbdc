// What -ffast-math defines.
#ifdef WEIR_FAIL
#define __FAST_MATH__ 1
#endif
#include <weir/core/exact_arithmetic.hpp>

int main() {}
