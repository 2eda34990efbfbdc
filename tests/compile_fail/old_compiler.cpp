// A compiler that is too old is refused in a sentence.
#ifdef WEIR_FAIL
#ifdef __clang__
#undef __clang_major__
#define __clang_major__ 12
#else
#undef __GNUC__
#define __GNUC__ 10
#endif
#endif
#include <weir/weir.hpp>
