#include "support/arches.hpp"
#include "support/instantiate_products.hpp"

WEIR_INSTANTIATE_PRODUCTS(weir_test::native);
