// Stores of keys and values of each codec and layout, and passes over them.
#include <weir/cache/store/compiled_stores.hpp>

#if WEIR_DECLARED_ONLY
namespace weir::inline WEIR_TARGET {

WEIR_STORES(template)

}  // namespace weir::inline WEIR_TARGET
#endif
