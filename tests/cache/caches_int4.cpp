#include "cache/any_cache.hpp"

namespace weir_test {
template std::unique_ptr<any_cache> make_cache_of<weir::int4>(const setup&);
template std::size_t required_bytes_of<weir::int4>(const setup&);
}  // namespace weir_test
