// Presets by name: what the tools accept, what they refuse, and that compare_policies tells all.
#include <cmath>
#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include <weir/model/load_model.hpp>
#include <weir/presets.hpp>
#include <weir/stream/shared_pass.hpp>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;
using nlohmann::json;

namespace {

std::vector<std::string> preset_names() {
  return []<class... Recipes>(std::tuple<Recipes...>*) {
    return std::vector<std::string>{std::string(Recipes::name)...};
  }(static_cast<weir::presets::recipes::all*>(nullptr));
}

/// A text in which words come back now and then.
std::string text() {
  std::string words;
  for (int i = 0; i < 200; ++i)
    words += (i * i) % 7 < 3 ? "the wind rose, " : "and she walked to the house again. ";
  std::string quoted = "'";  // g++ 12 warns of one expression
  quoted += scratch.with("words", words);
  quoted += '\'';
  return quoted;
}

const std::string perplexity = "$perplexity --model " + tiny + " ";

void require_status(const std::string& command, int status, const std::string& part) {
  INFO(command);
  const outcome o = run(command);
  INFO(o.err);
  REQUIRE(o.status == status);
  REQUIRE(o.out.empty());
  REQUIRE(o.err.find(part) != std::string::npos);
  if (status == 1) REQUIRE(lines_of(o.err).size() == 1);
}

}  // namespace

TEST_CASE("Every preset rates a text and generates one") {
  if (!examples_built()) return;
  const std::string rate = perplexity + "--max-tokens 250 --threads 1 --text " + text();
  for (const std::string& name : preset_names()) {
    INFO(name);
    const json made = json::parse(output_of(rate + " --budget 64 --policy " + name));
    REQUIRE(made["nats_per_token"].is_number());
    REQUIRE(std::isfinite(made["nats_per_token"].get<double>()));
    REQUIRE(made["tokens"] == 250);
  }
  for (const char* name : {"h2o", "sirllm", "ada-kv"})
    REQUIRE(lines_of(output_of("$stream --quiet --ids --tokens 100 --budget 64 --model " + tiny +
                               " --policy " + name))
                .size() == 100);
}

TEST_CASE("triattention goes by a calibration file, which calibrate writes") {
  if (!examples_built()) return;
  const std::string file = scratch("centres");
  const json made =
      json::parse(output_of("$calibrate --model " + tiny + " --max-tokens 200 --text " + text() +
                            " --out '" + file + "'"));
  REQUIRE(made["tokens"] == 200);
  const std::string rate =
      perplexity + "--max-tokens 150 --text " + text() + " --policy triattention --budget 64";
  const json rated = json::parse(output_of(rate + " --calibration '" + file + "'"));
  REQUIRE(std::isfinite(rated["nats_per_token"].get<double>()));
  require_status(rate, 1, "needs --calibration FILE");
  require_status(rate + " --calibration " + text(), 1, "expected");
  require_status(perplexity + "--text " + text() + " --policy h2o --calibration '" + file + "'", 2,
                 "--calibration");
}

TEST_CASE("duo-attention goes by a head table") {
  if (!examples_built()) return;
  const auto table = [](const char* name, const std::string& row, std::size_t rows) {
    std::string all;
    for (std::size_t i = 0; i < rows; ++i) all += row + "\n";
    return " --head-table '" + scratch.with(name, all) + "'";
  };
  const weir::kv_shape shape = weir::shape_of(
      weir::load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf").config);
  std::string row = "1";
  for (std::size_t head = 1; head < shape.kv_heads; ++head) row += "\t0";
  const std::string heads = table("heads", row, shape.layers);
  const std::string with = perplexity + "--max-tokens 150 --threads 1 --text " + text() + " ";
  const auto nats = [&](const std::string& flags) {
    return json::parse(output_of(with + flags))["nats_per_token"];
  };
  const std::string duo = "--policy duo-attention --budget 40" + heads;
  // A share of 0 streams: all heads keep all. A share of 1: none does.
  REQUIRE(nats(duo + " --sparsity 0") == nats("--policy full"));
  REQUIRE(nats(duo + " --sparsity 1") ==
          nats("--policy sinks-window --sinks 8 --window 32 --positions original"));
  REQUIRE(nats(duo) != nats("--policy full"));
  REQUIRE(nats(duo) != nats(duo + " --sparsity 1"));

  const std::string without = with + "--policy duo-attention";
  require_status(without, 1, "needs --head-table FILE");
  require_status(without + table("short", row, shape.layers - 1), 1, "rows (expected");
  require_status(without + table("wide", row + "\t0", shape.layers), 1, "columns (expected");
  require_status(with + "--policy h2o" + heads, 2, "--head-table");
  require_status(with + "--policy h2o --sparsity 0.5", 2, "--sparsity");
  require_status(without + heads + " --sparsity 1.5", 1, "--sparsity: 1.5 (expected 0 to 1)");
}

TEST_CASE("With room for the whole text every preset keeps it") {
  if (!examples_built()) return;
  const std::string rate =
      perplexity + "--codec f32 --positions original --max-tokens 60 --threads 1 --text " + text();
  const json full = json::parse(output_of(
      perplexity + "--codec f32 --policy full --max-tokens 60 " + "--threads 1 --text " + text()));
  for (const char* name : {"streaming-llm", "h2o", "tova", "snapkv", "knorm", "random"}) {
    INFO(name);
    const json made = json::parse(output_of(rate + " --budget 400 --policy " + name));
    REQUIRE(made["nats_per_token"] == full["nats_per_token"]);
  }
}

TEST_CASE("Presets are refused what they are not offered with") {
  if (!examples_built()) return;
  const std::string rate = perplexity + "--max-tokens 40 --text " + text() + " --policy ";
  require_status(rate + "h2o --budget 32", 1, "--budget: 32 (expected 48 or more");
  require_status(rate + "h2o --budget 47", 1, "--budget: 47 (expected 48 or more");
  require_status(rate + "h2o --budget 64 --cadence 64", 1, "--budget: 64 (expected 80 or more");
  require_status(rate + "streaming-llm --budget 15", 1, "--budget: 15 (expected 16 or more)");
  require_status(rate + "h2o --codec int4", 1, "is offered with f16 and f32");
  require_status(rate + "expected-attention --positions within-cache", 1, "(expected original)");
  require_status(rate + "h2o --budget 0", 1, "--budget: 0");
  require_status(rate + "no-such-policy", 2, "no-such-policy");
  require_status(rate + "full --budget 64", 2, "not read by --policy full");
  require_status(rate + "sinks-window --budget 64", 2, "not read by");
  require_status(rate + "window --cadence 32", 2, "not read by");
  require_status(rate + "streaming-llm --cadence 32", 2, "not read by");
  require_status(rate + "h2o --window 8", 2, "not read by --policy h2o");
  require_status(rate + "h2o --sinks 8", 2, "not read by --policy h2o");
}

TEST_CASE("compare_policies prints a table and writes JSON and one page") {
  if (!examples_built()) return;
  const std::string page_file = scratch("page.html"), json_file = scratch("runs.json");
  const std::string compare = "$compare_policies --model " + tiny + " --text " + text() +
                              " --max-tokens 300 --threads 1 --budgets 64,96 ";
  const std::string table = output_of(compare + "--policies h2o,random --json '" + json_file +
                                      "' --html '" + page_file + "'");
  const auto rows = lines_of(table);
  REQUIRE(rows.size() == 5);
  REQUIRE(rows[2].find("| full ") == 0);
  REQUIRE(rows[3].find("| h2o ") == 0);
  REQUIRE(rows[4].find("| random (control) ") == 0);

  const json report = json::parse(read_text(json_file));
  REQUIRE(report["tokens"] == 300);
  REQUIRE(report["refused"].empty());
  REQUIRE(report["runs"].size() == 4);
  REQUIRE(std::isfinite(report["full"]["nats_per_token"].get<double>()));
  for (const json& run : report["runs"]) {
    for (const char* key : {"nats_per_token", "perplexity", "seconds", "cache_bytes", "max_entries",
                            "evicted_entries", "cadence"}) {
      INFO(key);
      REQUIRE(run[key].is_number());
      REQUIRE(std::isfinite(run[key].get<double>()));
    }
    REQUIRE(run["max_entries"].get<std::size_t>() <= run["budget"].get<std::size_t>());
    REQUIRE(run["evicted_entries"].get<std::size_t>() > 0);
    REQUIRE(run["positions"] == "original");
  }
  const std::string page = read_text(page_file);
  REQUIRE(page.find("\"policy\":\"h2o\"") != std::string::npos);
  REQUIRE(page.find("\"policy\":\"random\"") != std::string::npos);
  REQUIRE(page.find("\"map\":[") != std::string::npos);
  REQUIRE(page.find("http") == std::string::npos);
  REQUIRE(page.find("REPORT") == std::string::npos);

  require_status(compare + "--policies h2o,nobody", 2, "'nobody' is no preset's name");
  require_status("$compare_policies --model " + tiny + " --text " + text() + " --budgets 64,x", 2,
                 "'x' is no whole number");
  require_status(compare + "--policies h2o --head 99", 1, "--head: 99 (expected 0 to ");
}

TEST_CASE("Budgets are the most that any token reads") {
  if (!examples_built()) return;
  const std::string json_file = scratch("all.json");
  output_of("$compare_policies --model " + tiny + " --text " + text() +
            " --max-tokens 120 --threads 1 --budgets 64 --json '" + json_file + "'");
  const json report = json::parse(read_text(json_file));
  REQUIRE(report["runs"].size() == preset_names().size());
  for (const json& run : report["runs"]) {
    const auto name = run["policy"].get<std::string>();
    INFO(name);
    const bool uneven =
        name == "pyramidkv" || name == "ada-kv" || name == "d2o" || name == "infinite-vggt";
    REQUIRE((uneven || run["max_entries"].get<std::size_t>() <= 64));
  }
}
