// A standard that is too old is refused in a sentence.
#ifdef WEIR_FAIL
#undef __cplusplus
#define __cplusplus 201703L
#endif
#include <weir/weir.hpp>
