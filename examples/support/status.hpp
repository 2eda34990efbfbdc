// The live status line on stderr.
//
// Where text and status share a terminal, the status gets the bottom row for itself: the text
// scrolls above it. Otherwise the line rewrites itself, or, where stderr is no terminal, comes once
// a second.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session.hpp"

namespace tool {

class status_line {
 public:
  enum class when : std::uint8_t { on_terminal, always, never };

  /// `more`: what else there is to say, if anything.
  status_line(const session& stream, const cache_choice& cache, when shown,
              std::function<std::string()> more = {})
      : stream_(stream), cache_(cache), more_(std::move(more)), quiet_(shown == when::never) {
    const char* term = std::getenv("TERM");
    const bool terminal = ::isatty(STDERR_FILENO) && term != nullptr && term != std::string("dumb");
    if (quiet_ || (!terminal && shown != when::always)) return;
    live_ = !terminal ? lines : same_terminal() ? bottom_row : rewritten;
    period_ = std::chrono::milliseconds(live_ == lines ? 1000 : 100);
  }
  status_line(status_line&&) = delete;
  ~status_line() { leave(); }

  /// One more token was made. Cheap, but for ten times a second.
  void count() {
    const auto now = clock::now();
    if (tokens_++ == 0) first_ = mark_ = shown_ = now;
    if (live_ == off || now - shown_ < period_) return;
    if (now - mark_ >= std::chrono::seconds(1) || rate_ == 0) {
      rate_ = per_second(tokens_ - mark_tokens_, now - mark_);
      mark_ = now;
      mark_tokens_ = tokens_;
    }
    shown_ = now;
    show(std::to_string(tokens_) + " tokens, " + rounded(rate_) + " tokens/s, " +
         (more_ ? more_() + ", " : "") + occupancy());
  }

  /// The last word: what was done in all. `mid_line`: the text did not end its last line.
  void finish(std::string_view why, bool mid_line) {
    leave();
    if (quiet_) return;
    const auto spent = clock::now() - first_;
    std::string line = std::to_string(tokens_) + (tokens_ == 1 ? " token" : " tokens");
    if (tokens_ > 1) line += ", " + rounded(per_second(tokens_ - 1, spent)) + " tokens/s";
    std::cerr << (mid_line && same_terminal() ? "\n" : "") << line << ", " << occupancy() << " ("
              << why << ")\n";
  }

 private:
  using clock = std::chrono::steady_clock;
  enum mode : std::uint8_t { off, lines, rewritten, bottom_row };

  static bool same_terminal() {
    struct stat out, err;
    return ::isatty(STDOUT_FILENO) && ::isatty(STDERR_FILENO) &&
           ::fstat(STDOUT_FILENO, &out) == 0 && ::fstat(STDERR_FILENO, &err) == 0 &&
           out.st_rdev == err.st_rdev;
  }
  static double per_second(std::uint64_t tokens, clock::duration spent) {
    const double seconds = std::chrono::duration<double>(spent).count();
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
  static std::string rounded(double x, const char* format = "%.0f") {
    char text[48];
    return {text, static_cast<std::size_t>(std::snprintf(text, sizeof text, format, x))};
  }

  /// What the cache holds, and what of.
  std::string occupancy() const {
    const std::uint64_t length = stream_.length();
    const auto part = [](const char* name, std::uint64_t used, std::uint64_t of) {
      return std::string(name) + " " + std::to_string(used) + "/" + std::to_string(of);
    };
    std::string text = "cache: ";
    if (cache_.policy == "full") {
      text += part("all", length, cache_.rows);
    } else if (find_preset(cache_.policy) != nullptr) {
      text += part(cache_.policy.c_str(), std::min<std::uint64_t>(length, cache_.budget),
                   cache_.budget);
    } else {
      const std::uint64_t sinks = cache_.policy == "window" ? 0 : cache_.sinks;
      const std::uint64_t first = std::min(length, sinks);
      if (cache_.policy != "window") text += part("sinks", first, sinks) + " + ";
      text += part("window", std::min<std::uint64_t>(length - first, cache_.window), cache_.window);
    }
    text += ", " + rounded(static_cast<double>(stream_.cache_bytes()) / 1024, "%.0f KiB");
    if (const std::uint64_t cut = stream_.cut_numbers(); cut > 0)
      text += ", " + std::to_string(cut) + " numbers beyond " + cache_.codec + " cut";
    return text;
  }

  /// Terminal codes after which the cursor is back where it was.
  static std::string aside(const std::string& codes) { return "\0337" + codes + "\0338"; }
  std::string last_row() const { return "\033[" + std::to_string(rows_) + ";1H"; }

  void show(const std::string& text) {
    winsize size{};
    if (live_ != lines) ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    const std::size_t width = size.ws_col > 1 ? size.ws_col - 1u : text.size();
    const std::string line = text.substr(0, width);
    std::string out;
    if (live_ == lines) out = line + "\n";
    if (live_ == rewritten) out = "\r" + line + "\033[K";
    if (live_ == bottom_row && size.ws_row > 1) {
      if (size.ws_row != rows_) {  // leave the last row, and keep the text out of it
        rows_ = size.ws_row;
        out = aside("\033[r") + "\033D\033[A" + aside("\033[1;" + std::to_string(rows_ - 1) + "r");
      }
      out += aside(last_row() + "\033[2m" + line + "\033[0m\033[K");
    }
    std::cerr << out << std::flush;
  }

  /// Gives the terminal back as it was.
  void leave() {
    if (live_ == rewritten && tokens_ > 0) std::cerr << "\r\033[K" << std::flush;
    if (live_ == bottom_row && rows_ > 0)
      std::cerr << aside("\033[r" + last_row() + "\033[2K") << std::flush;
    live_ = off;
  }

  const session& stream_;
  const cache_choice& cache_;
  std::function<std::string()> more_;
  bool quiet_;
  mode live_ = off;
  clock::duration period_{};
  std::uint64_t tokens_ = 0, mark_tokens_ = 0;
  clock::time_point first_{}, mark_{}, shown_{};
  double rate_ = 0;
  unsigned rows_ = 0;  // of the terminal, once its bottom row was set apart
};

}  // namespace tool
