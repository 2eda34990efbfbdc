// Typed errors. Every message says what was wrong, where, and what was expected.
//
// They are thrown. Where the compiler was told -fno-exceptions, weir calls a handler instead, which
// programs may set, and which prints the message and aborts unless they do. What the standard
// library would throw, for want of memory or threads, ends such a program as the library ends it.
#pragma once

#if !defined(__cpp_exceptions)
#include <atomic>
#include <cstdio>
#include <cstdlib>
#endif
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::error {

/// Root of everything weir throws on purpose. Whatever threw left its object as it was.
struct base : std::runtime_error {
  static constexpr const char* kind = "error";
  using std::runtime_error::runtime_error;
};

/// A file that cannot be used: its bytes, keys, tensors or vocabulary break a rule.
struct bad_file : base {
  static constexpr const char* kind = "bad_file";
  using base::base;
};

/// Options that cannot be met together or lie out of range.
struct bad_config : base {
  static constexpr const char* kind = "bad_config";
  using base::base;
};

/// Tokens, spans or text handed to a call that its contract excludes.
struct bad_input : base {
  static constexpr const char* kind = "bad_input";
  using base::base;
};

/// A call made at a time when the object cannot take it (say, layers out of order).
struct bad_call : base {
  static constexpr const char* kind = "bad_call";
  using base::base;
};

/// Numbers that are not finite where a result would have to be made up: a model's weights, or what
/// it makes of them.
struct not_finite : base {
  static constexpr const char* kind = "not_finite";
  using base::base;
};

/// Finite numbers beyond the largest that a cache's codec holds, where options say that they are to
/// be refused.
struct overflow : base {
  static constexpr const char* kind = "overflow";
  using base::base;
};

#if !defined(__cpp_exceptions)

/// Told what would have been thrown, say ("bad_file", "a.gguf: cannot be opened"), on the thread
/// that found it. The call that failed cannot go on: the program is aborted if this returns.
using handler = void (*)(const char* kind, const char* message);

inline void print_error(const char* kind, const char* message) {
  std::fprintf(stderr, "weir: %s: %s\n", kind, message);
}

namespace detail {
inline std::atomic<handler> current_handler{print_error};
}

/// Sets the handler of the whole program, for all parts that are compiled for the same target
/// (core/target.hpp), and returns the one before.
inline handler set_handler(handler use) { return detail::current_handler.exchange(use); }

#endif

namespace detail {

// As streams write them.
void append(std::string& text, long long number);
void append(std::string& text, unsigned long long number);
void append(std::string& text, double number);

/// A part of a message, of any type: one function for each type, rather than for each message.
class message_part {
 public:
  message_part(const char* text)
      : part_(text),
        append_([](std::string& to, const void* part) { to += static_cast<const char*>(part); }) {}
  template <class T>
  message_part(const T& part)
      : part_(&part), append_([](std::string& to, const void* from) {
          const T& value = *static_cast<const T*>(from);
          if constexpr (requires { value.append_to(to); })
            value.append_to(to);
          else if constexpr (sizeof(T) == 1 && std::is_integral_v<T> && !std::is_same_v<T, bool>)
            to += static_cast<char>(value);
          else if constexpr (std::is_floating_point_v<T>)
            append(to, static_cast<double>(value));
          else if constexpr (std::is_unsigned_v<T>)
            append(to, static_cast<unsigned long long>(value));
          else if constexpr (std::is_integral_v<T>)
            append(to, static_cast<long long>(value));
          else
            to += std::string_view(value);
        }) {}

  void append_to(std::string& text) const { append_(text, part_); }

 private:
  const void* part_;
  void (*append_)(std::string&, const void*);
};

std::string message_of(std::initializer_list<message_part> parts);

template <class Error>
[[noreturn, gnu::cold, gnu::noinline]] void raise_with(std::initializer_list<message_part> parts) {
#if defined(__cpp_exceptions)
  throw Error(message_of(parts));
#else
  current_handler.load()(Error::kind, message_of(parts).c_str());
  std::abort();
#endif
}

}  // namespace detail

/// Throws `Error` with a message of `parts`, one after the other: text, numbers, and whatever has
/// an `append_to(std::string&)`.
template <class Error, class... Parts>
[[noreturn]] void raise(const Parts&... parts) {
  detail::raise_with<Error>({detail::message_part(parts)...});
}

/// Throws `Error` unless `holds`. The parts are only formatted on failure.
template <class Error, class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) [[unlikely]]
    raise<Error>(parts...);
}

/// Returns `work()`, or `otherwise(e)` if that throws a `Caught` e. Without exceptions there is
/// nothing to catch, and the error that is told is the one that `work` met.
template <class Caught, class Attempt, class Otherwise>
decltype(auto) attempt(Attempt&& work, [[maybe_unused]] Otherwise&& otherwise) {
#if defined(__cpp_exceptions)
  try {
    return work();
  } catch (const Caught& e) {
    return otherwise(e);
  }
#else
  return work();
#endif
}

}  // namespace weir::inline WEIR_TARGET::error

#if !WEIR_DECLARED_ONLY
#include <weir/core/error.inl.hpp>
#endif
