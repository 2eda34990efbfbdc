// Compares eviction policies: every preset, at every budget, over one text.
//
//   compare_policies --model model.gguf --text text.txt --budgets 64,128,256 --html page.html
//
// Prints a table of nats per token. --json writes every run, --html one page that needs no network:
// a chart, and maps of which tokens lived in the cache when. Exit status: 0 printed, 1 an input was
// refused, 2 wrong usage.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>
#include <nlohmann/json.hpp>

#include "compare_page.hpp"
#include "support/files.hpp"
#include "support/flags.hpp"
#include "support/session.hpp"

namespace {

using json = nlohmann::ordered_json;
using clock_type = std::chrono::steady_clock;

struct settings {
  std::string model, text, json_file, html_file;
  std::string budget_list = "64,128,256", policy_list = "all";
  std::size_t max_tokens = 2000;
  std::size_t layer = 0, head = 0, map_tokens = 2048, map_times = 200;
  bool status = false;
  tool::cache_choice cache;
  weir::stream_options work;

  std::vector<std::size_t> budgets;
  std::vector<std::string> policies;
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

std::string preset_list() {
  std::string names;
  for (const tool::preset_facts& p : tool::presets())
    (names += names.empty() ? "" : ", ") += p.name;
  return names;
}

/// Once, however often it is asked for.
template <class T>
void add(std::vector<T>& list, const T& item) {
  if (std::ranges::find(list, item) == list.end()) list.push_back(item);
}

/// Reads the two lists; what is no list is wrong usage.
void read_lists(settings& s) {
  for (const std::string& part : split(s.budget_list)) {
    std::size_t budget = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), budget);
    if (error != std::errc() || end != part.data() + part.size() || budget > 1u << 30)
      throw CLI::ValidationError("--budgets", "'" + part + "' is no whole number");
    add(s.budgets, budget);
  }
  for (const std::string& name : split(s.policy_list)) {
    if (name == "all") {
      for (const tool::preset_facts& p : tool::presets())
        if ((!p.calibrated || !s.cache.calibration.empty()) &&
            (!p.labelled || !s.cache.head_table.empty()))
          add(s.policies, std::string(p.name));
    } else if (tool::find_preset(name) != nullptr) {
      add(s.policies, name);
    } else {
      throw CLI::ValidationError(
          "--policies",
          "'" + name + "' is no preset's name (expected all, or some of " + preset_list() + ")");
    }
  }
  if (s.budgets.empty() || s.policies.empty())
    throw CLI::ValidationError("--policies, --budgets", "nothing to compare");
}

/// How far it is, on stderr: a bar that rewrites itself, or a line a second.
class progress {
 public:
  progress(bool always, std::size_t total)
      : terminal_(::isatty(STDERR_FILENO) != 0), on_(always || terminal_), total_(total) {}
  progress(progress&&) = delete;
  ~progress() { clear(); }

  void begin(std::string what) { what_ = std::move(what); }
  void add(std::size_t tokens) {
    done_ += tokens;
    const auto now = clock_type::now();
    if (!on_ || now - shown_ < std::chrono::milliseconds(terminal_ ? 100 : 1000)) return;
    shown_ = now;
    const double part = static_cast<double>(done_) / static_cast<double>(total_);
    const double spent = std::chrono::duration<double>(now - start_).count();
    constexpr std::size_t width = 24;
    const std::size_t full = std::min(width, static_cast<std::size_t>(part * width));
    char left[32];
    const auto seconds = static_cast<long>(spent / part - spent);
    std::snprintf(left, sizeof left, "%ld:%02ld left", seconds / 60, seconds % 60);
    std::cerr << (terminal_ ? "\r" : "") << '[' << std::string(full, '#')
              << std::string(width - full, ' ') << "] " << static_cast<int>(part * 100) << " %, "
              << left << ", " << what_ << (terminal_ ? "\033[K" : "\n") << std::flush;
  }
  /// A line that stays.
  void note(const std::string& line) {
    clear();
    std::cerr << "compare_policies: " << line << '\n';
  }

 private:
  void clear() const {
    if (on_ && terminal_) std::cerr << "\r\033[K" << std::flush;
  }
  bool terminal_, on_;
  std::size_t total_, done_ = 0;
  std::string what_;
  clock_type::time_point start_ = clock_type::now(), shown_{};
};

/// At how many of the times a token was seen in the cache. Tokens never come back, so that this and
/// its index say when it lived. Run-length encoded: value, length, value, length ...
json runs_of(const std::vector<std::size_t>& values) {
  json runs = json::array();
  for (std::size_t at = 0; at < values.size();) {
    std::size_t end = at + 1;
    while (end < values.size() && values[end] == values[at]) ++end;
    runs.push_back(values[at]);
    runs.push_back(end - at);
    at = end;
  }
  return runs;
}

/// One policy with one budget over the text. Throws what is refused.
json rate(const settings& s, const weir::llama_model& model, const tool::cache_choice& choice,
          std::span<const weir::token_id> tokens, progress& bar) {
  const auto scorer = tool::make_scorer(model, choice, s.work);
  const std::size_t n = tokens.size() - 1, mapped = std::min(n, s.map_tokens);
  const std::size_t every = (mapped + s.map_times - 1) / s.map_times;
  const bool wants_map = !s.html_file.empty() && choice.policy != "full";
  std::vector<std::size_t> last_seen(mapped);
  double nats = 0;
  const auto start = clock_type::now();
  std::size_t times = 0;
  for (std::size_t at = 0; at < n;) {
    const bool maps = wants_map && at < mapped;
    const std::size_t step =
        std::min(maps ? std::min(every, mapped - at) : std::size_t{1024}, n - at);
    scorer->score(tokens.subspan(at, step + 1),
                  [&](double log_probability) { nats -= log_probability; });
    at += step;
    bar.add(step);
    if (!maps) continue;
    ++times;
    for (const std::uint64_t index : scorer->live(s.layer, s.head))
      if (index < mapped) last_seen[index] = times;
  }
  const std::chrono::duration<double> seconds = clock_type::now() - start;
  const double mean = nats / static_cast<double>(n);
  const tool::preset_facts* preset = tool::find_preset(choice.policy);
  const bool decides = preset != nullptr && !preset->positional;
  json run = {{"policy", choice.policy},
              {"budget", preset == nullptr ? json() : json(choice.budget)},
              {"cadence", decides ? json(choice.cadence) : json()},
              {"positions", tool::positions_of(choice)},
              {"nats_per_token", mean},
              {"perplexity", std::exp(mean)},
              {"seconds", seconds.count()},
              {"cache_bytes", scorer->cache_bytes()},
              {"max_entries", scorer->max_entries()},
              {"evicted_entries", scorer->evicted_entries()}};
  if (wants_map) run["map"] = runs_of(last_seen);
  return run;
}

std::string rounded(const json& number) {
  char text[32] = "-";
  if (number.is_number()) std::snprintf(text, sizeof text, "%.4f", number.get<double>());
  return text;
}

/// Rows are policies, columns budgets.
void print_table(const settings& s, const json& report) {
  constexpr int name_width = 24, width = 8;
  std::ostringstream out;
  const auto row = [&](const std::string& name, const std::vector<std::string>& cells) {
    out << "| " << std::left << std::setw(name_width) << name << " |";
    for (const std::string& cell : cells)
      out << ' ' << std::right << std::setw(width) << cell << " |";
    out << '\n';
  };
  std::vector<std::string> cells;
  for (const std::size_t budget : s.budgets) cells.push_back(std::to_string(budget));
  row("nats per token", cells);
  out << '|' << std::string(name_width + 2, '-') << '|';
  for (std::size_t i = 0; i < s.budgets.size(); ++i) out << std::string(width + 1, '-') << ":|";
  out << '\n';
  if (!report["full"].is_null())
    row("full", std::vector(s.budgets.size(), rounded(report["full"]["nats_per_token"])));
  for (const std::string& policy : s.policies) {
    cells.clear();
    for (const std::size_t budget : s.budgets) {
      json nats;
      for (const json& run : report["runs"])
        if (run["policy"].get<std::string>() == policy &&
            run["budget"].get<std::size_t>() == budget)
          nats = run["nats_per_token"];
      cells.push_back(rounded(nats));
    }
    row(policy == "random" ? "random (control)" : policy, cells);
  }
  std::cout << out.str() << std::flush;
}

/// The page, with the report in it.
std::string page_of(const json& report) {
  std::string data = report.dump();
  for (std::size_t at = 0; (at = data.find("</", at)) != std::string::npos; at += 3)
    data.replace(at, 2, "<\\/");
  std::string page = compare_page;
  const std::string mark = "\"REPORT\"";
  page.replace(page.find(mark), mark.size(), data);
  return page;
}

void compare(settings s) {
  using weir::error::bad_input, weir::error::require;
  std::optional<tool::output_file> json_file, html_file;
  if (!s.json_file.empty()) json_file.emplace(s.json_file);
  if (!s.html_file.empty()) html_file.emplace(s.html_file);
  const weir::llama_model model = weir::load_model(s.model);
  const weir::kv_shape shape = weir::shape_of(model.config);
  require<bad_input>(s.layer < shape.layers, "--layer: ", s.layer, " (expected 0 to ",
                     shape.layers - 1, ")");
  require<bad_input>(s.head < shape.kv_heads, "--head: ", s.head, " (expected 0 to ",
                     shape.kv_heads - 1, ")");
  std::vector<weir::token_id> tokens =
      model.tokenizer.encode(tool::read_bytes(s.text), weir::text_marks{});
  require<bad_input>(tokens.size() > 1, s.text, ": is empty (expected a text)");
  if (s.max_tokens < tokens.size() - 1) tokens.resize(s.max_tokens + 1);
  const std::size_t n = tokens.size() - 1;

  const std::size_t context = model.config.context_length;
  progress bar(s.status, n * (s.policies.size() * s.budgets.size() + (n <= context ? 1 : 0)));
  json report = {{"model", std::filesystem::path(s.model).filename().string()},
                 {"text", std::filesystem::path(s.text).filename().string()},
                 {"tokens", n},
                 {"context", context},
                 {"codec", s.cache.codec},
                 {"cadence", s.cache.cadence},
                 {"layer", s.layer},
                 {"head", s.head},
                 {"full", nullptr},
                 {"runs", json::array()},
                 {"refused", json::array()}};
  tool::cache_choice choice = s.cache;
  if (n <= context) {
    choice.policy = "full";
    choice.positions.clear();
    choice.rows = n;
    bar.begin("full");
    report["full"] = rate(s, model, choice, tokens, bar);
  } else {
    bar.note("full is left out: " + std::to_string(n) + " tokens exceed the model's context of " +
             std::to_string(context));
  }
  for (const std::string& policy : s.policies)
    for (const std::size_t budget : s.budgets) {
      choice = s.cache;
      choice.policy = policy;
      choice.budget = budget;
      const std::string what = policy + " " + std::to_string(budget);
      bar.begin(what);
      try {
        choice.rows = tool::require_context(choice, n, model);
        json run = rate(s, model, choice, tokens, bar);
        run["control"] = policy == "random";
        report["runs"].push_back(std::move(run));
      } catch (const weir::error::base& e) {
        bar.note(what + " is left out: " + e.what());
        report["refused"].push_back({{"policy", policy}, {"budget", budget}, {"why", e.what()}});
      }
    }
  require<bad_input>(!report["runs"].empty(), "nothing was left to compare");
  print_table(s, report);
  require<bad_input>(bool{std::cout}, "standard output: cannot be written");
  if (html_file) {
    report["map_tokens"] = std::min(n, s.map_tokens);
    report["map_every"] = (std::min(n, s.map_tokens) + s.map_times - 1) / s.map_times;
    html_file->write(page_of(report));
    report.erase("map_tokens");
    report.erase("map_every");
    for (json& run : report["runs"]) run.erase("map");
  }
  if (json_file) json_file->write(report.dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  tool::command_line line("compare_policies", "Compares eviction policies over one text.");
  line.file("--model", s.model, "GGUF file")->required();
  line.file("--text", s.text,
            "text file, or - for standard input, taken byte by byte; BOS is put before it")
      ->required();
  line.number<std::size_t>("--max-tokens", s.max_tokens, "tokens to rate, at most", 1);
  line.text("--budgets", s.budget_list, "most entries that any token reads, with commas between")
      ->capture_default_str();
  line.text("--policies", s.policy_list, "all, or names of presets with commas between")
      ->capture_default_str();
  line.number<std::size_t>("--cadence", s.cache.cadence, "tokens between decisions", 1, 1 << 20);
  line.file("--calibration", s.cache.calibration,
            "query centres of the model, from calibrate; all leaves out triattention without");
  line.file("--head-table", s.cache.head_table,
            "numbers from 0 to 1, a row a layer and a column a KV head; all leaves out "
            "duo-attention without, whose other heads keep all");
  line.number("--sparsity", s.cache.sparsity, "share of heads that stream (duo-attention)", 0.0,
              1.0);
  line.choice("--positions", s.cache.positions, {"original", "within-cache"},
              "what a kept token's position is counted from")
      ->default_str("each policy's own");
  line.choice("--codec", s.cache.codec, {"f32", "f16"}, "how keys and values are stored");
  line.file("--json", s.json_file, "also write every run to this file");
  line.file("--html", s.html_file, "also write a page with a chart and maps to this file");
  line.number<std::size_t>("--layer", s.layer, "what the maps show", 0);
  line.number<std::size_t>("--head", s.head, "KV head that the maps show", 0);
  line.number<std::size_t>("--map-tokens", s.map_tokens, "first tokens that the maps show", 1,
                           1 << 16);
  line.number<std::size_t>("--map-times", s.map_times, "times that the maps show, at most", 1,
                           2000);
  line.on_off("--status", s.status, "show progress even where stderr is no terminal");
  tool::add_work_flags(line, s.work);
  line.check([&s] { read_lists(s); });
  return line.run(argc, argv, [&] { compare(std::move(s)); });
}
