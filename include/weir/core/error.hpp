// Typed errors. Every message says what was wrong, where, and what was expected.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace weir::error {

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

/// Throws `Error` with a message made by streaming `parts` one after the other.
template <class Error, class... Parts>
[[noreturn]] void raise(Parts&&... parts) {
  std::ostringstream message;
  (message << ... << std::forward<Parts>(parts));
  throw Error(message.str());
}

/// Throws `Error` unless `holds`. The parts are only formatted on failure.
template <class Error, class... Parts>
void require(bool holds, Parts&&... parts) {
  if (!holds) [[unlikely]]
    raise<Error>(std::forward<Parts>(parts)...);
}

}  // namespace weir::error
