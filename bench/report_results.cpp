// Turns results of Google Benchmark into what a report needs.
//
//   report_results table HEADING[,HEADING...] RESULTS.json   a Markdown table
//   report_results json RESULTS.json...                      [{name, seconds, GB_per_s, fraction}]
//
// A case is called bench/row/.../column/.../threads; as many parts of it as there are headings name
// its row in the table, the rest its column.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

using json = nlohmann::ordered_json;

/// "attention/f16/512/hot/1", without what Google Benchmark adds.
std::string name_of(const json& result) {
  const auto name = result.at("name").get<std::string>();
  return name.substr(0, name.find("/iterations:"));
}

double seconds_of(const json& result) {
  const auto unit = result.at("time_unit").get<std::string>();
  const double scale = unit == "s" ? 1 : unit == "ms" ? 1e-3 : unit == "us" ? 1e-6 : 1e-9;
  return result.at("real_time").get<double>() * scale;
}

json results_in(const char* path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string(path) + ": cannot be opened");
  json results = json::parse(file).at("benchmarks");
  for (const json& r : results)
    if (r.contains("error_message"))
      throw std::runtime_error(name_of(r) + ": " + r["error_message"].get<std::string>());
  return results;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : std::string(separator)) + part;
  return text;
}

/// Three digits.
std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x);
  return text;
}

std::string duration(double seconds) {
  if (seconds < 1e-3) return number(seconds * 1e6) + " µs";
  if (seconds < 1) return number(seconds * 1e3) + " ms";
  return number(seconds) + " s";
}

/// "1.02 ms, 37.1 GB/s, 0.94", and "1.25×" where something was measured in turns
std::string cell(const json& result) {
  std::string text = duration(seconds_of(result));
  const auto add = [&](const char* counter, const char* unit) {
    if (result.contains(counter)) text += ", " + number(result[counter].get<double>()) + unit;
  };
  add("GB_per_s", " GB/s");
  add("GMAC_per_s", " GMAC/s");
  add("tokens_per_s", " tokens/s");
  add("fraction", "");
  add("ratio", "×");
  if (result.contains("label")) text += ", " + result["label"].get<std::string>();
  return text;
}

template <class T>
std::size_t index_in(std::vector<T>& list, const T& value) {
  const auto at = std::ranges::find(list, value);
  const auto index = static_cast<std::size_t>(at - list.begin());
  if (at == list.end()) list.push_back(value);
  return index;
}

void print_table(const std::string& headings, const json& results) {
  const std::vector<std::string> row_headings = split(headings, ',');
  std::vector<std::string> rows, columns;
  std::vector<std::vector<std::string>> cells;  // [row][column]
  for (const json& result : results) {
    std::vector<std::string> parts = split(name_of(result), '/');
    if (parts.size() < row_headings.size() + 2)
      throw std::runtime_error(name_of(result) + ": too few parts for " + headings);
    parts.back() += parts.back() == "1" ? " thread" : " threads";
    const std::span<const std::string> tail = std::span(parts).subspan(1);
    const std::size_t row = index_in(rows, join(tail.first(row_headings.size()), " | "));
    const std::size_t column = index_in(columns, join(tail.subspan(row_headings.size()), ", "));
    if (row == cells.size()) cells.emplace_back();
    cells[row].resize(columns.size(), "–");
    cells[row][column] = cell(result);
  }
  std::cout << "| " << join(row_headings, " | ") << " | " << join(columns, " | ") << " |\n|";
  for (std::size_t i = 0; i < row_headings.size() + columns.size(); ++i) std::cout << "---|";
  std::cout << '\n';
  for (std::size_t row = 0; row < rows.size(); ++row) {
    cells[row].resize(columns.size(), "–");
    std::cout << "| " << rows[row] << " | " << join(cells[row], " | ") << " |\n";
  }
}

void print_json(std::span<char*> paths) {
  json all = json::array();
  for (const char* path : paths)
    for (const json& result : results_in(path))
      all.push_back({{"name", name_of(result)},
                     {"seconds", seconds_of(result)},
                     {"GB_per_s", result.value("GB_per_s", json())},
                     {"fraction", result.value("fraction", json())}});
  std::cout << all.dump(1) << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "table" && argc == 4) {
    print_table(argv[2], results_in(argv[3]));
  } else if (what == "json" && argc > 2) {
    print_json({argv + 2, argv + argc});
  } else {
    return std::fputs("usage: report_results table HEADINGS RESULTS | json RESULTS...\n", stderr),
           2;
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "report_results: %s\n", e.what());
  return 1;
}
