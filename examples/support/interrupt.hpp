// Ctrl-C ends a stream where it stands, so that the tool can still say what it did.
#pragma once

#include <csignal>
#include <stop_token>
#include <thread>

#include <unistd.h>

namespace tool {

/// Turns the first SIGINT or SIGTERM into a stop request; the second ends the program. Make it
/// before any thread: those made later inherit that the signals are taken here.
inline std::stop_token stop_on_interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::stop_source source;
  std::stop_token token = source.get_token();
  std::thread([signals, source]() mutable {
    int number = 0;
    sigwait(&signals, &number);
    source.request_stop();
    sigwait(&signals, &number);
    ::_exit(128 + number);
  }).detach();
  return token;
}

}  // namespace tool
