// Stop strings, texts and cuts of any kind: what is shown is what the rule says, read literally.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/stream/stop_matcher.hpp>

#include "fuzz/fuzz_input.hpp"

namespace {

using namespace weir_fuzz;

/// The rule, byte by byte: text is held back while its end is the beginning of a stop string; the
/// stop string that is complete first counts, and of those that end together the longest.
class literal_rule {
 public:
  explicit literal_rule(const std::vector<std::string>& stops) : stops_(stops) {}

  void push(std::string_view text) {
    stopped = false;
    for (const char c : text) {
      text_ += c;
      std::size_t longest = 0;
      for (const std::string& stop : stops_)
        if (text_.ends_with(stop)) longest = std::max(longest, stop.size());
      if (longest == 0) continue;
      stopped = true;
      show(text_.size() - longest);
      text_.clear();  // what follows is dropped, and the next push begins anew
      shown_ = 0;
      return;
    }
    show(text_.size() - held());
  }
  void show_all() { show(text_.size()); }
  void reset() {
    text_.clear();
    shown_ = 0;
    stopped = false;
  }
  bool holds() const { return shown_ < text_.size(); }

  std::string shown;  // since the object was made
  bool stopped = false;

 private:
  /// Bytes at the end that begin a stop string and do not complete it.
  std::size_t held() const {
    std::size_t longest = 0;
    for (const std::string& stop : stops_)
      for (std::size_t n = 1; n < stop.size(); ++n)
        if (text_.ends_with(std::string_view(stop).substr(0, n))) longest = std::max(longest, n);
    return longest;
  }
  void show(std::size_t end) {
    if (end <= shown_) return;
    shown.append(text_, shown_, end - shown_);
    shown_ = end;
  }

  const std::vector<std::string>& stops_;
  std::string text_;
  std::size_t shown_ = 0;
};

/// Bytes of an alphabet of one to four letters, so that stop strings do occur; or any bytes.
std::string word(fuzz_input& in, std::size_t letters, std::size_t most) {
  std::string text(in.text(most));
  if (letters < 5)
    for (char& c : text) c = static_cast<char>('a' + static_cast<unsigned char>(c) % letters);
  return text;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz_input in(data, size);
  const std::size_t letters = in.within(1, 5);
  std::vector<std::string> stops;
  bool has_empty = false;
  for (std::size_t n = in.within(0, 4); n > 0; --n) {
    stops.push_back(word(in, letters, 9));
    has_empty = has_empty || stops.back().empty();
  }

  weir::stop_matcher matcher;
  const bool made = succeeds([&] { matcher = weir::stop_matcher(stops, in.within(0, 20)); });
  check(made == !has_empty, "an empty stop string is refused, others are not");
  if (!made) return 0;

  literal_rule rule(stops);
  std::string shown;
  while (!in.empty()) {
    switch (in.within(0, 15)) {
      case 14:
        shown += matcher.show_held();
        rule.show_all();
        break;
      case 15:
        matcher.reset();
        rule.reset();
        break;
      default: {
        const std::string piece = word(in, letters, 12);
        shown += matcher.push(piece);
        rule.push(piece);
      }
    }
    check(shown == rule.shown, "shows what the rule shows");
    check(matcher.stopped() == rule.stopped, "stops where the rule stops");
    check(matcher.holds() == rule.holds(), "holds back what the rule holds back");
  }
  return 0;
}
