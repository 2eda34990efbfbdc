// Command lines of the tools. Wrong usage (2) is told from well-formed values that are refused (1).
#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/core/error.hpp>
#include <weir/kernels/instruction_set.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/version.hpp>

#include "session.hpp"

namespace tool {

/// A program's flags and its exit status.
class command_line {
 public:
  command_line(std::string name, std::string description) : app_(std::move(description), name) {
    app_.set_version_flag("--version", version, "print the version and the instruction set in use");
  }

  CLI::Option* text(const char* name, std::string& value, const char* help) {
    return app_.add_option(name, value, help)->type_name("TEXT");
  }
  CLI::Option* file(const char* name, std::string& value, const char* help) {
    return text(name, value, help)->type_name("FILE");
  }
  /// A flag that may be given again and again.
  CLI::Option* texts(const char* name, std::vector<std::string>& values, const char* help) {
    return app_.add_option(name, values, help)
        ->type_name("TEXT")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  /// Token ids, a flag for each.
  CLI::Option* numbers(const char* name, std::vector<weir::token_id>& values, const char* help) {
    return app_.add_option(name, values, help)
        ->type_name("ID")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  CLI::Option* choice(const char* name, std::string& value, std::vector<std::string> names,
                      const char* help) {
    return app_.add_option(name, value, help)
        ->type_name("NAME")
        ->check(CLI::IsMember(std::move(names)))
        ->capture_default_str();
  }
  /// One of some named values, of which `value` is one.
  template <class T>
  CLI::Option* choice(const char* name, T& value,
                      const std::vector<std::pair<std::string, T>>& named, const char* help) {
    std::vector<std::string> names;
    std::string usual;
    for (const auto& [text, of] : named) {
      names.push_back(text);
      if (of == value) usual = text;
    }
    const auto choose = [&value, named](const std::string& given) {
      for (const auto& [text, of] : named)
        if (text == given) value = of;
    };
    return app_.add_option_function<std::string>(name, choose, help)
        ->type_name("NAME")
        ->check(CLI::IsMember(std::move(names)))
        ->default_str(usual);
  }
  /// Whether BOS or EOS is put to a text.
  CLI::Option* mark(const char* name, weir::mark& value, const char* help) {
    using weir::mark;
    return choice<mark>(name, value,
                        {{"file", mark::by_file}, {"on", mark::on}, {"off", mark::off}}, help);
  }
  void loading(weir::load_options& value) {
    on_off(
        "--repack", value.repack,
        "copy quantised weights into a layout that several rows at once are faster with; changes "
        "no bit");
    app_.add_flag("!--no-map", value.map,
                  "read the model file into memory instead of mapping it, so that what happens to "
                  "it meanwhile does not matter")
        ->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
  void marks(weir::text_marks& value) {
    mark("--bos", value.bos, "put BOS before the text: as the file says, or on or off");
    mark("--eos", value.eos, "put EOS behind the text: as the file says, or on or off");
    no_prefix_blank(value);
  }
  void no_prefix_blank(weir::text_marks& value) {
    app_.add_flag_callback(
            "--no-prefix-blank", [&value] { value.prefix_blank = weir::mark::off; },
            "encode the text as it is, even where the file wants a blank before it")
        ->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
  CLI::Option* on_off(const char* name, bool& value, const char* help) {
    return app_.add_flag(name, value, help)->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
  /// Text that is no number is wrong usage; a number outside [least, most] is refused.
  template <class T>
  CLI::Option* number(const char* name, T& value, const char* help, T least,
                      T most = std::numeric_limits<T>::max()) {
    const auto parse = [this, name, &value, least, most](const std::string& given) {
      if (!is_number<T>(given))
        throw CLI::ValidationError(name, "'" + given + "' is no " + kind_of_number<T>);
      T parsed{};
      const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), parsed);
      const bool in_range = error == std::errc() && end == given.data() + given.size();
      if (in_range && !(parsed < least) && !(parsed > most)) {
        value = parsed;
      } else if (refusal_.empty()) {
        refusal_ = std::string(name) + ": " + given + " (expected " + plain(least) +
                   (most < std::numeric_limits<T>::max()       ? " to " + plain(most)
                    : error == std::errc() && !(parsed > most) ? " or more"
                    : std::floating_point<T>                   ? " or more, and finite"
                                             : " or more, below 2^" + plain(digits<T>)) +
                   ")";
      }
    };
    return app_.add_option_function<std::string>(name, parse, help)
        ->type_name("N")
        ->default_str(plain(value));
  }
  /// Runs once all flags were read; throws CLI::ValidationError for wrong usage.
  void check(std::function<void()> callback) { checks_.push_back(std::move(callback)); }

  /// Reads the flags, runs `body` and returns the program's exit status.
  template <class Body>
  int run(int argc, char** argv, Body body) {
    app_.callback([this] {
      for (const auto& check : checks_) check();
    });
    try {
      app_.parse(arguments(argc, argv));
      weir::error::require<weir::error::bad_config>(refusal_.empty(), refusal_);
      weir::instruction_set();  // throws if it cannot be had
      body();
      return 0;
    } catch (const CLI::ParseError& e) {
      return app_.exit(e) == 0 ? 0 : 2;
    } catch (const std::bad_alloc&) {
      return refuse("not enough memory");
    } catch (const std::exception& e) {
      return refuse(e.what());
    }
  }

 private:
  /// The arguments, last first, as CLI11 takes them. It would read `--name=` as `--name` without a
  /// value; here that is `--name ""`.
  std::vector<std::string> arguments(int argc, char** argv) const {
    std::vector<std::string> all;
    for (int i = 1; i < argc; ++i) {
      std::string_view given = argv[i];
      const bool is_empty = given.ends_with('=');
      if (is_empty) given.remove_suffix(1);
      const CLI::Option* flag = app_.get_option_no_throw(std::string(given));
      const bool takes_value = flag != nullptr && flag->get_items_expected_min() > 0;
      if (takes_value && is_empty) {
        all.emplace_back(given);
        all.emplace_back();
      } else {
        all.emplace_back(argv[i]);
        if (takes_value && i + 1 < argc) all.emplace_back(argv[++i]);  // whatever it looks like
      }
    }
    std::reverse(all.begin(), all.end());
    return all;
  }

  static std::string version() {
    return "weir " + std::to_string(WEIR_VERSION_MAJOR) + '.' + std::to_string(WEIR_VERSION_MINOR) +
           '.' + std::to_string(WEIR_VERSION_PATCH) + " (" + std::string(weir::instruction_set()) +
           ')';
  }

  int refuse(std::string_view why) const {
    std::cerr << app_.get_name() << ": " << why << '\n';
    return 1;
  }

  template <class T>
  static constexpr int digits = std::numeric_limits<T>::digits;

  template <class T>
  static constexpr const char* kind_of_number = std::floating_point<T> ? "number" : "whole number";

  template <class T>
  static bool is_number(std::string_view text) {
    if constexpr (std::floating_point<T>) {
      T ignored;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ignored);
      return error != std::errc::invalid_argument && end == text.data() + text.size();
    } else {
      if (text.starts_with('-')) text.remove_prefix(1);
      return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    }
  }
  template <class T>
  static std::string plain(T value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value).ptr};
  }

  CLI::App app_;
  std::vector<std::function<void()>> checks_;
  std::string refusal_;  // the first value out of range
};

/// The flags that choose a cache, the same in every tool.
inline void add_cache_flags(command_line& line, cache_choice& c, weir::stream_options& stream) {
  constexpr std::size_t most = std::size_t{1} << 31;
  line.choice("--policy", c.policy, policy_names(), "which tokens stay");
  const auto* sinks = line.number<std::size_t>(
      "--sinks", c.sinks, "first tokens of the stream that stay (sinks-window)", 0, most);
  const auto* window = line.number<std::size_t>(
      "--window", c.window, "last tokens of the stream that stay (window, sinks-window)", 1, most);
  const auto* budget = line.number<std::size_t>(
      "--budget", c.budget,
      "most entries that any token reads, their mean where heads or layers differ, or those of "
      "heads that stream "
      "(all but full, window, sinks-window)",
      1, most);
  const auto* cadence = line.number<std::size_t>(
      "--cadence", c.cadence, "tokens between decisions (policies that decide at boundaries)", 1,
      1 << 20);
  const auto* calibration = line.file("--calibration", c.calibration,
                                      "query centres of the model, from calibrate (triattention)");
  const auto* head_table = line.file(
      "--head-table", c.head_table,
      "numbers from 0 to 1, a row a layer and a column a KV head; those with the largest keep all "
      "(duo-attention)");
  const auto* sparsity =
      line.number("--sparsity", c.sparsity, "share of heads that do not (duo-attention)", 0.0, 1.0);
  const auto* positions = line.choice("--positions", c.positions, {"original", "within-cache"},
                                      "what a kept token's position is counted from (all but full)")
                              ->default_str("the policy's own");
  line.choice("--codec", c.codec, {"f32", "f16", "bf16", "int8", "int4"},
              "how keys and values are stored");
  line.choice<weir::overflow>("--on-overflow", stream.on_overflow,
                              {{"refuse", weir::overflow::refuse},
                               {"warn", weir::overflow::warn},
                               {"scale", weir::overflow::scale}},
                              "about keys and values beyond the codec: refuse the model, cut them "
                              "and say how many, or hold them scaled");
  line.check([&c, sinks, window, budget, cadence, calibration, head_table, sparsity, positions] {
    const auto unread = [&](const CLI::Option* flag) {
      if (flag->count() > 0)
        throw CLI::ValidationError(flag->get_name(), "not read by --policy " + c.policy);
    };
    const preset_facts* preset = find_preset(c.policy);
    if (c.policy != "sinks-window") unread(sinks);
    if (c.policy != "sinks-window" && c.policy != "window") unread(window);
    if (c.policy == "full") unread(positions);
    if (preset == nullptr) unread(budget);
    if (preset == nullptr || !preset->calibrated) unread(calibration);
    if (preset == nullptr || !preset->labelled) unread(head_table), unread(sparsity);
    if (preset == nullptr || preset->positional) unread(cadence);
  });
}

/// The flags that decide how fast it goes, and nothing else.
inline void add_work_flags(command_line& line, weir::stream_options& o) {
  line.number<std::size_t>("--chunk", o.chunk, "tokens of given text that the model takes at once",
                           1, 1 << 20);
  line.number<unsigned>("--threads", o.threads, "threads that compute", 1, 1024)
      ->default_str("as many as this process may use");
}

}  // namespace tool
