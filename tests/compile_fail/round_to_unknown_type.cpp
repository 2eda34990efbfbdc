#include <weir/core/half.hpp>

#ifdef WEIR_FAIL
auto rounded = weir::round_to<int>(1.0f);
#else
auto rounded = weir::round_to<weir::f16>(1.0f);
#endif
