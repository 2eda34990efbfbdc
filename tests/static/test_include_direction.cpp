// Includes point one way: each folder of include/weir names the folders it may know.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace fs = std::filesystem;

namespace {

const std::map<std::string, std::vector<std::string>> may_know = {
    {"core", {}},
    {"reducers", {"core"}},
    {"simd", {"core"}},
    {"kernels", {"core", "simd"}},
    {"cache", {"core", "simd", "kernels"}},
    {"model", {"core", "simd", "kernels", "cache"}},
    {"sampling", {"core", "simd", "kernels", "model"}},
    {"speculation", {"core", "simd", "kernels", "cache", "model", "sampling"}},
    {"stream", {"core", "simd", "kernels", "cache", "model", "sampling", "speculation"}},
    {"diffusion",
     {"core", "simd", "kernels", "cache", "model", "sampling", "speculation", "stream"}},
};

/// The folders of cache/ that meet only in the files directly in it.
const std::vector<std::string> axes = {"codec", "layout", "eviction", "position", "retrieval"};

/// The path's folders: {"cache", "codec"} for cache/codec/int8.hpp.
std::vector<std::string> folders_of(const fs::path& file) {
  std::vector<std::string> parts;
  for (const auto& part : file.parent_path()) parts.push_back(part.string());
  return parts;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The rule that `from` breaks by including `to`, both relative to include/weir.
std::optional<std::string> broken_rule(const fs::path& from, const fs::path& to) {
  const auto source = folders_of(from);
  const auto target = folders_of(to);

  if (!target.empty() && target[0] == "backend" && to.filename().string().starts_with("cuda") &&
      (source.empty() || source[0] != "backend"))
    return "only backend/ includes backend/cuda*";
  if (to == "version.hpp") return std::nullopt;
  if (source.empty() || source[0] == "testing" || source[0] == "backend") return std::nullopt;
  if (target.empty()) return source[0] + "/ includes no header that gathers others";

  const auto rule = may_know.find(source[0]);
  if (rule == may_know.end())
    return source[0] + "/ has no line in the table of this test: say which folders it may know";
  if (source[0] != target[0]) {
    if (contains(rule->second, target[0])) return std::nullopt;
    return source[0] + "/ must not know " + target[0] + "/";
  }
  if (source[0] == "cache" && source.size() > 1 && contains(axes, source[1])) {
    if (target.size() < 2) return "an axis must not know the cache that it is part of";
    if (target[1] != source[1] && contains(axes, target[1]))
      return "the axes cache/" + source[1] + "/ and cache/" + target[1] + "/ must not meet";
  }
  return std::nullopt;
}

struct include_line {
  int line;
  fs::path target;  // relative to include/weir
};

/// Every include of a weir header in `file`; quoted ones count from the file's own folder.
std::vector<include_line> weir_includes(const fs::path& root, const fs::path& file) {
  static const std::regex directive(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<include_line> found;
  std::ifstream in(root / file);
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    std::smatch match;
    if (!std::regex_search(text, match, directive)) continue;
    const std::string name = match[2];
    if (name.starts_with("weir/"))
      found.push_back({line, fs::path(name.substr(5)).lexically_normal()});
    else if (match[1] == "\"")
      found.push_back({line, (file.parent_path() / name).lexically_normal()});
  }
  return found;
}

}  // namespace

TEST_CASE("the headers' includes point one way and at files that exist") {
  const fs::path root = fs::path(WEIR_SOURCE_DIR) / "include/weir";
  int headers = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".hpp") continue;
    ++headers;
    const fs::path file = fs::relative(entry.path(), root);
    for (const auto& [line, target] : weir_includes(root, file)) {
      const std::string where = "include/weir/" + file.string() + ":" + std::to_string(line);
      if (const auto rule = broken_rule(file, target))
        FAIL_CHECK(where << ": includes " << target.string() << ", but " << *rule);
      if (!fs::exists(root / target))
        FAIL_CHECK(where << ": includes " << target.string() << ", which does not exist");
    }
  }
  CHECK(headers > 0);
}

TEST_CASE("the rules of direction hold for what they are about") {
  const auto allowed = [](const char* from, const char* to) { return !broken_rule(from, to); };
  CHECK(allowed("core/arena.hpp", "core/error.hpp"));
  CHECK_FALSE(allowed("core/arena.hpp", "simd/simd.hpp"));
  CHECK(allowed("kernels/cpu/attention.hpp", "simd/simd.hpp"));
  CHECK_FALSE(allowed("kernels/cpu/attention.hpp", "cache/kv_cache.hpp"));
  CHECK(allowed("cache/kv_cache.hpp", "cache/codec/f16.hpp"));
  CHECK(allowed("cache/codec/int8.hpp", "cache/codec/concept.hpp"));
  CHECK_FALSE(allowed("cache/codec/int8.hpp", "cache/layout/paged.hpp"));
  CHECK_FALSE(allowed("cache/codec/int8.hpp", "cache/kv_cache.hpp"));
  CHECK_FALSE(allowed("cache/kv_cache.hpp", "model/gguf/gguf.hpp"));
  CHECK(allowed("model/forward.hpp", "cache/concept.hpp"));
  CHECK_FALSE(allowed("sampling/top_k.hpp", "cache/kv_cache.hpp"));
  CHECK_FALSE(allowed("speculation/prompt_lookup.hpp", "stream/decoder.hpp"));
  CHECK(allowed("stream/decoder.hpp", "speculation/prompt_lookup.hpp"));
  CHECK(allowed("testing/codec_suite.hpp", "stream/decoder.hpp"));
  CHECK(allowed("weir.hpp", "stream/decoder.hpp"));
  CHECK_FALSE(allowed("weir.hpp", "backend/cuda.hpp"));
  CHECK_FALSE(allowed("stream/decoder.hpp", "weir.hpp"));
  CHECK_FALSE(allowed("novelty/thing.hpp", "core/error.hpp"));
}
