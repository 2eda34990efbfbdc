#include "mixed.hpp"

std::string run_avx2() { return run_cache(); }
