// The same cases, compiled with contraction switched on.
#define WEIR_TEST_CONTRACTS
#include "test_exact_arithmetic.cpp"
