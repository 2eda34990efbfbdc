#include <weir/cache/eviction/head_labels.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/refusal.hpp"

using weir::head_labels;
using weir::read_head_table;

namespace {

using labels = std::vector<std::uint8_t>;

std::vector<float> read(const std::string& text, std::size_t layers = 2, std::size_t heads = 3) {
  std::istringstream in(text);
  return read_head_table(in, "table.tsv", layers, heads);
}

/// Asserts that `text` is refused, and what is said of it.
void check_refused(const std::string& text, std::initializer_list<std::string_view> parts) {
  weir_test::require_refused<weir::error::bad_file>([&] { read(text); }, parts);
}

const std::vector<float> paper{.61f, .01f, .97f, .68f, .02f, .95f, .04f, 0};

}  // namespace

TEST_CASE("heads above the quantile retrieve") {
  CHECK(std::fabs(weir::quantile(paper, .5) - .325) < 1e-5);
  CHECK(head_labels(paper, .5) == labels{1, 0, 1, 1, 0, 1, 0, 0});
  CHECK(head_labels(paper, .75) == labels{0, 0, 1, 0, 0, 1, 0, 0});
  CHECK(head_labels(paper, 0) == labels(8, 1));
  CHECK(head_labels(paper, -1) == labels(8, 1));
  CHECK(head_labels(paper, 1) == labels(8, 0));
  CHECK(head_labels(paper, 2) == labels(8, 0));
  CHECK(head_labels({}, .5).empty());
  CHECK_THROWS_AS(head_labels(paper, std::numeric_limits<double>::quiet_NaN()),
                  weir::error::bad_config);
}

TEST_CASE("of equal heads the earlier retrieve") {
  const std::vector<float> equal{1, 1, 1, 1, 1};
  CHECK(head_labels(equal, .5) == labels{1, 1, 1, 0, 0});  // the third lies on the quantile
  CHECK(head_labels(equal, .6) == labels{1, 1, 0, 0, 0});
  const std::vector<float> halves{0, 1, 0, 1, 0, 1};
  CHECK(head_labels(halves, .7) == labels{0, 1, 0, 1, 0, 0});
  CHECK(head_labels(halves, .2) == labels{1, 1, 1, 1, 0, 1});
}

TEST_CASE("a table has a row a layer and a column a KV head, clipped") {
  const std::vector<float> expected{0, .5f, 1, 1, 0, .25f};
  CHECK(read("0\t.5\t1\n1.25\t-3\t2.5e-1\n") == expected);
  CHECK(read("0\t.5\t1\r\n1\t0\t.25") == expected);
  CHECK(read("0\t.5\t1\n1\t0\t.25\n\n\n") == expected);
  CHECK(read("0.5", 1, 1) == std::vector<float>{.5f});
}

TEST_CASE("a table that breaks a rule is refused where it breaks it") {
  check_refused("", {"table.tsv: 0 rows", "expected 2"});
  check_refused("0\t0\t0\n", {"table.tsv: 1 rows"});
  check_refused("0\t0\t0\n0\t0\n", {"table.tsv:2: 2 columns (expected 3"});
  check_refused("0\t0\t0\t0\n", {"table.tsv:1: more than 3 columns"});
  check_refused("0\t0\t0\n0\t0\t0\n0\t0\t0\n", {"table.tsv:3: another row"});
  check_refused("0\t0\t0\n\n0\t0\t0\n", {"table.tsv:2: \"\" in column 1"});
  check_refused("0\tx\t0\n", {"table.tsv:1: \"x\" in column 2", "expected a number"});
  for (const std::string bad :
       {"nan", "inf", "-inf", "1e99", "0x1", ".5 ", " .5", "", "1,5", "+1", "--1"})
    check_refused("0\t0\t" + bad + "\n0\t0\t0\n", {"table.tsv:1: \"" + bad + "\" in column 3"});
  check_refused("0\t0\t0\t\n0\t0\t0\n", {"more than 3 columns"});
  check_refused("0 0 0\n0 0 0\n", {"table.tsv:1: \"0 0 0\" in column 1"});
  check_refused(std::string("0\t0\t0\0\n0\t0\t0\n", 14), {"table.tsv:1: \"0\" in column 3"});
  // Long nonsense is quoted in part.
  check_refused("x" + std::string(1 << 20, '7'), {"\"x" + std::string(39, '7') + "\" in column 1"});
}

TEST_CASE("a file is named in what is wrong with it") {
  const auto path = std::filesystem::temp_directory_path() / "weir_head_table_test.tsv";
  std::ofstream(path) << "0.5\t1\n";
  CHECK(read_head_table(path.string(), 1, 2) == std::vector<float>{.5f, 1});
  CHECK_THROWS_AS(read_head_table(path.string(), 1, 3), weir::error::bad_file);
  std::filesystem::remove(path);
  weir_test::require_refused<weir::error::bad_file>([&] { read_head_table(path.string(), 1, 2); },
                                                    {"weir_head_table_test.tsv: cannot be opened"});
}
