// A borrowed callable: two words, no allocation, one indirect call.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

template <class Signature>
class function_ref;

/// Refers to a callable that must outlive the reference. std::function_ref where that exists.
template <class R, class... Args>
class function_ref<R(Args...)> {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, function_ref> &&
             std::is_invocable_r_v<R, F&, Args...>)
  function_ref(F&& f) noexcept  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Throws error::bad_input for a null pointer to a function or an empty std::function, handed to
/// `call`.
template <class F>
void require_callable(const char* call, const F& f) {
  if constexpr (std::is_constructible_v<F, std::nullptr_t> &&
                std::is_constructible_v<bool, const F&>)
    error::require<error::bad_input>(static_cast<bool>(f), call,
                                     ": a null callback (expected a function)");
}

}  // namespace weir::inline WEIR_TARGET
