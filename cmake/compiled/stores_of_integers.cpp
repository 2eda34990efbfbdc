#include "compiled.hpp"

WEIR_COMPILED_INTEGERS()
