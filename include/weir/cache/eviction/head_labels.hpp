// Head labels: which KV heads need the whole context. DuoAttention, arXiv 2410.10819.
//
// A table of trained numbers in [0, 1], a row a layer and a column a KV head, separated by tabs, is
// what the authors publish for a model. The heads with the smallest numbers, a `sparsity` of all,
// stream; the rest retrieve. The labels serve per_head<keep<sinks, window>, keep_all>, whose second
// list is for label 1.
//
// Deviations. The authors break ties with random noise; here the earlier head retrieves. They put
// retrieving heads first, in weights and cache; here every KV head has tiles of its own, as many as
// its list needs, wherever it stands.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <istream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Reads the table `[layer, kv_head]`, clipped to [0, 1]. `name` is what errors call it. Throws
/// error::bad_file.
inline std::vector<float> read_head_table(std::istream& in, std::string_view name,
                                          std::size_t layers, std::size_t kv_heads) {
  using error::bad_file, error::require;
  std::vector<float> table;
  std::string line;
  std::size_t row = 0;
  while (std::getline(in, line)) {
    ++row;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() && row > layers) continue;
    require<bad_file>(row <= layers, name, ":", row, ": another row (expected ", layers,
                      ", one a layer)");
    std::size_t column = 0;
    for (std::string_view rest = line; column == 0 || rest.data() != nullptr;) {
      ++column;
      require<bad_file>(column <= kv_heads, name, ":", row, ": more than ", kv_heads,
                        " columns (expected one a KV head)");
      const std::size_t tab = rest.find('\t');
      const std::string_view cell = rest.substr(0, tab);
      float x = 0;
      const auto [end, failed] = std::from_chars(cell.data(), cell.data() + cell.size(), x);
      require<bad_file>(
          failed == std::errc{} && end == cell.data() + cell.size() && std::isfinite(x), name, ":",
          row, ": \"", cell.substr(0, std::min<std::size_t>(40, cell.find('\0'))), "\" in column ",
          column, " (expected a number; columns are set apart by tabs)");
      table.push_back(std::clamp(x, 0.0f, 1.0f));
      rest = tab == std::string_view::npos ? std::string_view{} : rest.substr(tab + 1);
    }
    require<bad_file>(column == kv_heads, name, ":", row, ": ", column, " columns (expected ",
                      kv_heads, ", one a KV head)");
  }
  require<bad_file>(!in.bad(), name, ": could not be read behind line ", row);
  require<bad_file>(table.size() == layers * kv_heads, name, ": ", row, " rows (expected ", layers,
                    ", one a layer)");
  return table;
}

/// Likewise, of a file.
inline std::vector<float> read_head_table(const std::string& path, std::size_t layers,
                                          std::size_t kv_heads) {
  std::ifstream in(path, std::ios::binary);
  error::require<error::bad_file>(in.is_open(), path, ": cannot be opened (expected a head table)");
  return read_head_table(in, path, layers, kv_heads);
}

/// The number that a share of `q` in [0, 1] of `x` lies below, by linear interpolation. Throws
/// error::bad_config for no numbers, or another share. O(n log n).
inline double quantile(std::span<const float> x, double q) {
  error::require<error::bad_config>(!x.empty() && q >= 0 && q <= 1, "quantile: a share of ", q,
                                    " of ", x.size(), " numbers (expected 0 to 1, of some)");
  std::vector<float> sorted(x.begin(), x.end());
  std::sort(sorted.begin(), sorted.end());
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (double{sorted[high]} - sorted[low]) * (at - static_cast<double>(low));
}

/// Labels of a table's heads: 1 retrieves, 0 streams. `sparsity` is the share that streams: none if
/// it is at most 0, all from 1 on.
inline std::vector<std::uint8_t> head_labels(std::span<const float> table, double sparsity) {
  error::require<error::bad_config>(!std::isnan(sparsity),
                                    "head_labels: a sparsity that is not a number");
  if (table.empty() || sparsity >= 1) return std::vector<std::uint8_t>(table.size(), 0);
  if (sparsity <= 0) return std::vector<std::uint8_t>(table.size(), 1);
  const double threshold = quantile(table, sparsity);
  const double below = sparsity * static_cast<double>(table.size() - 1);
  const std::size_t retrieve = table.size() - static_cast<std::size_t>(std::ceil(below));
  std::vector<std::uint8_t> label;
  for (const float x : table) label.push_back(x >= threshold ? 1 : 0);
  auto surplus = static_cast<std::size_t>(std::count(label.begin(), label.end(), 1));
  for (std::size_t i = table.size(); i-- > 0 && surplus > retrieve;)
    if (table[i] == threshold) label[i] = 0, --surplus;
  return label;
}

}  // namespace weir::inline WEIR_TARGET
