// What constructors make of memory that they cannot have.
#pragma once

#include <new>

#include <weir/core/error.hpp>

/// A constructor's function-try-block, so that a std::bad_alloc of any of its policies leaves it as
/// error::out_of_memory:
///
///   thing(std::size_t n) WEIR_TRY : list_(n) {} WEIR_OR_OUT_OF_MEMORY("thing")
///
/// Without exceptions there is nothing to catch.
#if defined(__cpp_exceptions)
#define WEIR_TRY try
#define WEIR_OR_OUT_OF_MEMORY(what)                                                           \
  catch (const std::bad_alloc&) {                                                             \
    ::weir::error::raise<::weir::error::out_of_memory>(what, ": there is not enough memory"); \
  }
#else
#define WEIR_TRY
#define WEIR_OR_OUT_OF_MEMORY(what)
#endif
