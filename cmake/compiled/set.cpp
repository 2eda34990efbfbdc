// All kernels of one instruction set, and what a processor must have to run them.
#include <weir/kernels/compiled_kernels.hpp>

#include "kernel_set.hpp"
#include "needs.hpp"

#define WEIR_TEXT_OF(x) #x
#define WEIR_TEXT(x) WEIR_TEXT_OF(x)

namespace {

/// Groups by their numbers.
struct groups {
  const void* at[14] = {};

  template <class Group>
  constexpr groups& with(const Group& group) {
    at[Group::number] = &group;
    return *this;
  }
};

constexpr groups all = groups()
                           .with(WEIR_SYMBOL(products))
                           .with(WEIR_SYMBOL(rows))
                           .with(WEIR_SYMBOL(observations))
                           .with(WEIR_SYMBOL(sampling))
                           .with(WEIR_SYMBOL(attention_f32))
                           .with(WEIR_SYMBOL(attention_f16))
                           .with(WEIR_SYMBOL(attention_bf16))
                           .with(WEIR_SYMBOL(attention_int8))
                           .with(WEIR_SYMBOL(attention_int4))
                           .with(WEIR_SYMBOL(keys_f32))
                           .with(WEIR_SYMBOL(keys_f16))
                           .with(WEIR_SYMBOL(keys_bf16))
                           .with(WEIR_SYMBOL(keys_int8))
                           .with(WEIR_SYMBOL(keys_int4));
}  // namespace

extern "C" constinit const weir_compiled_kernels WEIR_SYMBOL(kernels) = {
    WEIR_TEXT(WEIR_ISA), weir_compiled::needed_here, all.at};
