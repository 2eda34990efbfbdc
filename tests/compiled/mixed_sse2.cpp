#include "mixed.hpp"

std::string run_sse2() { return run_cache(); }
