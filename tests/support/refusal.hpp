// Asserts that something is refused with the right type of error, and says where.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "support/catch.hpp"

#include <weir/core/error.hpp>

namespace weir_test {

/// Runs `f`, which must throw exactly `Error` with a message that holds each of `parts`.
template <class Error, class F>
void require_refused(F&& f, std::initializer_list<std::string_view> parts) {
  std::string message;
  bool refused = false;
  try {
    f();
  } catch (const Error& e) {
    refused = true;
    message = e.what();
  }
  REQUIRE(refused);
  for (const std::string_view part : parts) {
    INFO("message: " << message << "\nexpected part: " << part);
    REQUIRE(message.find(part) != std::string::npos);
  }
}

}  // namespace weir_test
