// A borrowed callable: two words, no allocation, one indirect call.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

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

}  // namespace weir::inline WEIR_TARGET
