// Typed errors. Every message says what was wrong, where, and what was expected.
#pragma once

#include <initializer_list>
#include <ostream>
#include <sstream>
#include <stdexcept>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::error {

/// Root of everything weir throws on purpose. Whatever threw left its object as it was.
struct base : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file that cannot be used: its bytes, keys, tensors or vocabulary break a rule.
struct bad_file : base {
  using base::base;
};

/// Options that cannot be met together or lie out of range.
struct bad_config : base {
  using base::base;
};

/// Tokens, spans or text handed to a call that its contract excludes.
struct bad_input : base {
  using base::base;
};

/// A call made at a time when the object cannot take it (say, layers out of order).
struct bad_call : base {
  using base::base;
};

namespace detail {

/// Something to stream, of any type: one function for each type, rather than for each message.
class message_part {
 public:
  message_part(const char* text)
      : part_(text), stream_([](std::ostream& out, const void* part) {
          out << static_cast<const char*>(part);
        }) {}
  template <class T>
  message_part(const T& part)
      : part_(&part),
        stream_([](std::ostream& out, const void* from) { out << *static_cast<const T*>(from); }) {}

  friend std::ostream& operator<<(std::ostream& out, const message_part& p) {
    p.stream_(out, p.part_);
    return out;
  }

 private:
  const void* part_;
  void (*stream_)(std::ostream&, const void*);
};

template <class Error>
[[noreturn, gnu::cold, gnu::noinline]] void raise_with(std::initializer_list<message_part> parts) {
  std::ostringstream message;
  for (const message_part& part : parts) message << part;
  throw Error(message.str());
}

}  // namespace detail

/// Throws `Error` with a message made by streaming `parts` one after the other.
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

}  // namespace weir::inline WEIR_TARGET::error
