// Published token ids, and the ids of the reference models' texts.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/shared.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

namespace {

using ids = std::vector<weir::token_id>;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

ids parse_ids(const std::string& line) {
  std::istringstream in(line);
  return ids(std::istream_iterator<weir::token_id>(in), {});
}

/// The numbers of the first array of a small JSON file.
ids parse_json_ids(const std::string& json, const std::string& key) {
  const std::size_t start = json.find('[', json.find("\"" + key + "\""));
  std::string list = json.substr(start + 1, json.find(']', start) - start - 1);
  for (char& c : list)
    if (c == ',') c = ' ';
  return parse_ids(list);
}

}  // namespace

TEST_CASE("all 46 vectors of the 32,000-token vocabulary are met, and decode to their texts") {
  const auto vocabulary = weir_test::shared("vocab/ggml-vocab-llama-spm.gguf");
  const auto texts = weir_test::shared("vocab/ggml-vocab-llama-spm.gguf.inp");
  const auto lines = weir_test::shared("vocab/ggml-vocab-llama-spm.gguf.out");
  if (!vocabulary || !texts || !lines) return;
  const weir::tokenizer t{weir::gguf_file(*vocabulary)};
  REQUIRE(t.vocab_size() == 32000);

  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string rest = content(*texts);
  std::ifstream expected(*lines);
  int vectors = 0;
  for (std::string line; std::getline(expected, line); ++vectors) {
    const std::size_t end = rest.find(separator);
    REQUIRE(end != std::string::npos);
    const std::string text = rest.substr(0, end);
    rest.erase(0, end + separator.size());
    INFO("vector " << vectors << ": " << text);
    const ids tokens = t.encode(text, false);
    REQUIRE(tokens == parse_ids(line));
    REQUIRE(t.decode(tokens) == text);
    weir::incremental_decoder decoder(t);
    std::string streamed;
    for (const weir::token_id id : tokens) streamed += decoder.push(id);
    streamed += decoder.flush();
    REQUIRE(streamed == text);
  }
  REQUIRE(vectors == 46);
}

TEST_CASE("every piece and code point of the 32,000-token vocabulary comes back") {
  const auto vocabulary = weir_test::shared("vocab/ggml-vocab-llama-spm.gguf");
  if (!vocabulary) return;
  const weir::tokenizer t{weir::gguf_file(*vocabulary)};
  int wrong = 0;
  for (weir::token_id id = 0; id < 32000; ++id) {
    const std::string text(t.piece(id));
    wrong += t.decode(t.encode(text, false)) != text;
  }
  REQUIRE(wrong == 0);
  const auto byte = [](std::uint32_t b) { return static_cast<char>(b); };
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    if (c < 0x80)
      text.assign(1, byte(c));
    else if (c < 0x800)
      text = {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
    else if (c < 0x10000)
      text = {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
    else
      text = {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)),
              byte(0x80 | (c & 63))};
    wrong += t.decode(t.encode(text, false)) != text;
  }
  REQUIRE(wrong == 0);
}

TEST_CASE("the reference text encodes to the reference ids") {
  const auto text = weir_test::shared("golden/text.txt");
  if (!text) return;
  const std::string whole = content(*text);
  for (const auto& [model, golden] :
       {std::pair{"models/weir-tiny-f16.gguf", "golden/tiny-ids.json"},
        std::pair{"models/stories260K-f32.gguf", "golden/stories-ids.json"}}) {
    const auto file = weir_test::shared(model);
    const auto expected = weir_test::shared(golden);
    if (!file || !expected) return;
    const weir::tokenizer t{weir::gguf_file(*file)};
    const ids tokens = t.encode(whole, false);
    const ids reference = parse_json_ids(content(*expected), "ids");
    REQUIRE(reference.size() == 600);
    REQUIRE(tokens.size() >= 600);
    REQUIRE(ids(tokens.begin(), tokens.begin() + 600) == reference);
    REQUIRE(t.decode(tokens) == whole);
  }
}

TEST_CASE("the reference greedy ids decode to the reference story") {
  const auto file = weir_test::shared("models/stories260K-f32.gguf");
  const auto golden = weir_test::shared("golden/stories260K-greedy.json");
  if (!file || !golden) return;
  const std::string json = content(*golden);
  const weir::tokenizer t{weir::gguf_file(*file)};
  const std::string text = t.decode(parse_json_ids(json, "ids"));
  REQUIRE(text.starts_with("Once upon a time"));
  REQUIRE(t.encode(text, false) == parse_json_ids(json, "ids"));
}
