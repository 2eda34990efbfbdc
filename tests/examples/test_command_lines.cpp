// Exit 2 for wrong usage, 1 and one sentence for refused input, and nothing on stdout for either.
#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;

namespace {

const std::string stream = "$stream --quiet --prompt 'It was' --model " + tiny + " ";
const std::string perplexity = "$perplexity --model " + tiny + " ";

/// A text of so many words.
std::string words(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += "the wind ";
  return text;
}

void require_wrong_usage(const std::string& command) {
  INFO(command);
  const outcome o = run(command);
  INFO(o.err);
  REQUIRE(o.status == 2);
  REQUIRE(o.out.empty());
  REQUIRE(!o.err.empty());
}

/// Refused with one line that names the program and holds `part`.
void require_refused(const std::string& command, const std::string& part) {
  INFO(command);
  const outcome o = run(command);
  INFO(o.err);
  REQUIRE(o.status == 1);
  REQUIRE(o.out.empty());
  REQUIRE(lines_of(o.err).size() == 1);
  REQUIRE((o.err.find("stream: ") == 0 || o.err.find("perplexity: ") == 0));
  REQUIRE(o.err.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("Wrong usage exits 2") {
  if (!examples_built()) return;
  require_wrong_usage("$stream");
  require_wrong_usage("$stream --prompt x");
  require_wrong_usage("$perplexity --model " + tiny);
  const std::string text = scratch.with("text", words(20));
  for (const std::string& command : {stream + "--tokens 4 ", perplexity + "--text '" + text + "' "})
    for (const char* flags :
         {"--bogus", "extra", "-x", "--model again.gguf", "--window", "--window ten",
          "--window 1.5", "--window ''", "--window 0x10", "--window +5", "--sinks four",
          "--threads many", "--chunk 1e3", "--policy half", "--policy ''", "--codec f64",
          "--positions relative", "--window 8 --window 8", "--policy full --policy full",
          // flags that the policy does not read
          "--policy full --sinks 4", "--policy full --window 252",
          "--policy full --positions original", "--policy window --sinks 4",
          // wrong usage goes before values out of range
          "--window -3 --bogus"})
      require_wrong_usage(command + flags);
  for (const char* flags :
       {"--tokens x", "--temperature hot", "--temperature 1,5", "--seed first", "--top-k few",
        "--top-p x", "--min-p x", "--ids --ids", "--text x", "--quiet --status"})
    require_wrong_usage(stream + flags);
  for (const char* flags : {"--max-tokens all", "--ids", "--prompt x", "--temperature 0"})
    require_wrong_usage(perplexity + "--text '" + text + "' " + flags);
}

TEST_CASE("Values out of range exit 1") {
  if (!examples_built()) return;
  const std::string text = scratch.with("text", words(20));
  for (const std::string& command :
       {stream + "--tokens 4 ", perplexity + "--text '" + text + "' "}) {
    require_refused(command + "--window 0", "--window: 0 (expected 1 to ");
    require_refused(command + "--window -3", "--window: -3 (expected 1 to ");
    require_refused(command + "--window=-3", "--window: -3 (expected 1 to ");
    require_refused(command + "--window 99999999999999999999999", "--window: 9999");
    require_refused(command + "--sinks -1", "--sinks: -1 (expected 0 to ");
    require_refused(command + "--sinks 0 --window 1", "sinks + window of 1 (expected at least 2)");
    require_refused(command + "--policy window --window 1", "(expected at least 2)");
    require_refused(command + "--window 509", "trained context of 512");
#if !defined(__SANITIZE_ADDRESS__)  // which ends a program that asks for so much
    require_refused(command + "--positions original --window 2000000000", "not enough memory");
    require_refused("ulimit -v 500000; " + command + "--threads 1024",
                    "threads: 1024 (expected at");
#endif
    require_refused(command + "--threads 0", "--threads: 0 (expected 1 to 1024)");
    require_refused(command + "--threads 1025", "--threads: 1025");
    require_refused(command + "--chunk 0", "--chunk: 0 (expected 1 to ");
    require_refused(command + "--chunk -1", "--chunk: -1");
  }
  require_refused(stream + "--tokens -1", "--tokens: -1");
  require_refused(stream + "--temperature -0.5", "--temperature: -0.5");
  require_refused(stream + "--temperature nan", "temperature: nan");
  require_refused(stream + "--temperature inf", "--temperature: inf");
  require_refused(stream + "--temperature 1e99", "--temperature: 1e99");
  require_refused(stream + "--seed -1", "--seed: -1");
  require_refused(stream + "--seed 18446744073709551616", "--seed: 18446744073709551616");
  require_refused(stream + "--top-k -1", "--top-k: -1");
  require_refused(stream + "--top-p 0", "top_p: 0");
  require_refused(stream + "--top-p 1.5", "--top-p: 1.5");
  require_refused(stream + "--min-p 1", "min_p: 1");
  require_refused(stream + "--stop ''", "stop string: empty");
  require_refused(perplexity + "--text '" + text + "' --max-tokens 0", "--max-tokens: 0");
}

TEST_CASE("Keeping everything is refused beyond the model's context, before any output") {
  if (!examples_built()) return;
  const std::string full = "$stream --quiet --ids --policy full --model " + tiny + " ";
  REQUIRE(lines_of(output_of(full + "--tokens 512")).size() == 512);
  require_refused(full + "--tokens 513", "513 tokens to feed (expected at most 512");
  require_refused(full + "--tokens 0", "endlessly many tokens to feed");
  require_refused(full + "--tokens 1 --prompt '" + words(400) + "'", "(expected at most 512");
  const std::string text = scratch.with("text", words(400));
  const std::string rate = perplexity + "--policy full --text '" + text + "' --max-tokens ";
  REQUIRE(output_of(rate + "512").find("{\"tokens\": 512, ") == 0);
  require_refused(rate + "513", "513 tokens to feed (expected at most 512");
}

TEST_CASE("Models that cannot be used are refused") {
  if (!examples_built()) return;
  const std::string model = read_text(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  std::string other = model;
  const std::string key = "general.architecture";
  other.replace(other.find("llama", other.find(key) + key.size()), 5, "mamba");
  const std::string text = scratch.with("text", words(20));
  for (const std::string& command :
       {std::string("$stream --model "), "$perplexity --text '" + text + "' --model "}) {
    require_refused(command + "nowhere.gguf", "nowhere.gguf");
    require_refused(command + "/", "/");
    require_refused(command + "''", "");
    require_refused(command + "'" + scratch.with("empty", "") + "'", "empty");
    require_refused(command + "'" + scratch.with("short", model.substr(0, 20)) + "'", "short");
    require_refused(command + "'" + scratch.with("cut", model.substr(0, model.size() / 2)) + "'",
                    "cut");
    require_refused(command + "'" + scratch.with("cut", model.substr(0, model.size() - 1)) + "'",
                    "cut");
    require_refused(command + "'" + scratch.with("other", other) + "'", "mamba");
    require_refused(command + "'" + text + "'", text);
  }
}

TEST_CASE("Texts and files that cannot be used are refused") {
  if (!examples_built()) return;
  require_refused(perplexity + "--text nowhere.txt", "nowhere.txt");
  require_refused(perplexity + "--text /", "directory");
  require_refused(perplexity + "--text '" + scratch.with("nothing", "") + "'", "empty");
  const std::string text = scratch.with("text", words(20));
  const std::string rate = perplexity + "--text '" + text + "' --logprobs ";
  require_refused(rate + "/nowhere/logprobs", "/nowhere/logprobs: cannot be written");
  require_refused(rate + "/", "cannot be written");
  const std::string kept = scratch.with("kept", "as it was");
  require_refused(rate + "'" + kept + "' --window 0", "--window");
  REQUIRE(read_text(kept) == "as it was");
  REQUIRE(run(rate + "/dev/null").status == 0);
  REQUIRE(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("stdout carries the result alone") {
  if (!examples_built()) return;
  const outcome ids = run("$stream --tokens 20 --ids --status --prompt 'It was' --model " + tiny);
  REQUIRE(ids.status == 0);
  REQUIRE(lines_of(ids.out).size() == 20);
  for (const std::string& id : lines_of(ids.out))
    REQUIRE(id.find_first_not_of("0123456789") == std::string::npos);
  REQUIRE(ids.err.find("20 tokens, ") != std::string::npos);
  REQUIRE(ids.err.find("sinks 4/4 + window ") != std::string::npos);
  REQUIRE(ids.err.find(" KiB") != std::string::npos);
  const outcome quiet = run(stream + "--tokens 20");
  REQUIRE(quiet.err.empty());
  REQUIRE(quiet.out.find("It was") == std::string::npos);

  const std::string text = scratch.with("text", words(300));
  const std::string json = output_of(perplexity + "--text '" + text + "' --max-tokens 99999999");
  REQUIRE(lines_of(json).size() == 1);
  REQUIRE(json.front() == '{');
  std::size_t at = 0;
  for (const char* key : {"{\"tokens\": ", ", \"nats_per_token\": ", ", \"perplexity\": ",
                          ", \"seconds\": ", ", \"peak_cache_bytes\": "}) {
    at = json.find(key, at);
    REQUIRE(at != std::string::npos);
  }
}

TEST_CASE("A prompt longer than the budget streams through it") {
  if (!examples_built()) return;
  const std::string made = output_of("$stream --ids --tokens 5 --sinks 2 --window 30 --model " +
                                     tiny + " --prompt '" + words(900) + "'");
  REQUIRE(lines_of(made).size() == 5);
}

TEST_CASE("A stop string ends the text and is never shown") {
  if (!examples_built()) return;
  const std::string text = output_of(stream + "--tokens 60");
  const std::size_t at = text.size() / 2;
  const std::string stop = text.substr(at, 1) == "'" ? "a" : text.substr(at, 1);
  REQUIRE(output_of(stream + "--tokens 60 --stop '[x,y]' --stop '" + stop + "'") ==
          text.substr(0, text.find(stop)));
}

TEST_CASE("An endless stream ends when its reader goes or it is interrupted") {
  if (!examples_built()) return;
  REQUIRE(output_of(stream + "--tokens 0 | head -c 2000").size() == 2000);
  const outcome o = run("$stream --tokens 0 --model " + tiny + " >'" + scratch("text") +
                        "' & p=$!; sleep 1; kill -TERM $p; wait $p");
  INFO(o.err);
  REQUIRE(o.status == 0);
  REQUIRE(o.err.find("(interrupted)") != std::string::npos);
  REQUIRE(run(stream + "--tokens 5 >/dev/full").status == 1);
}

TEST_CASE("--version names the instruction set, and WEIR_ISA forces one that was built") {
  if (!examples_built()) return;
  const std::string version = output_of("$stream --version");
  INFO(version);
  const std::size_t open = version.rfind('('), close = version.rfind(')');
  REQUIRE(version.find("weir ") == 0);
  REQUIRE((open != std::string::npos && close != std::string::npos && open < close));
  const std::string isa = version.substr(open + 1, close - open - 1);
  REQUIRE(output_of("WEIR_ISA=" + isa + " $stream --version") == version);
  for (const char* program : {"$stream", "$perplexity", "$speculative", "$calibrate", "$tokenize"})
    REQUIRE(output_of(std::string(program) + " --version") == version);

  require_refused("WEIR_ISA=nonsense " + stream, "WEIR_ISA=nonsense: no such instruction set");
  require_refused("WEIR_ISA=AVX2 $perplexity --version", "no such instruction set");
  // Of all that there are, those that this program was not built for.
  for (const std::string other : {"sse2", "avx2", "avx512", "neon"}) {
    const outcome o = run("WEIR_ISA=" + other + " $stream --version");
    if (o.status == 0)
      REQUIRE(o.out.find('(' + other + ')') != std::string::npos);
    else
      require_refused("WEIR_ISA=" + other + " $stream --version", "WEIR_ISA=" + other + ": ");
  }
}

TEST_CASE("A prompt comes by argument, by file or by pipe, of any size") {
  if (!examples_built()) return;
  const std::string bare = "$stream --quiet --ids --tokens 20 --model " + tiny + " ";
  for (const std::string& text :
       {std::string("It was a dark night"), std::string("-"), std::string("two\nlines\n"),
        std::string("\xC3\xA9 \xFF"), std::string()}) {
    const std::string file = scratch.with("prompt", text);
    const std::string expected = output_of(bare + "--prompt-file '" + file + "'");
    INFO(text);
    CHECK(output_of(bare + "--prompt - <'" + file + "'") == expected);
    CHECK(output_of("cat '" + file + "' | " + bare + "--prompt -") == expected);
    CHECK(output_of("cat '" + file + "' | " + bare + "--prompt-file -") == expected);
    CHECK(output_of("cat '" + file + "' | " + bare + "--prompt-file /dev/stdin") == expected);
    if (text == "-") continue;  // stands for a pipe
    CHECK(output_of(bare + "--prompt '" + text + "'") == expected);
    CHECK(output_of(bare + "--prompt='" + text + "'") == expected);
  }
  CHECK(output_of(bare + "--escape --prompt '\\x2D'") ==
        output_of(bare + "--prompt-file '" + scratch.with("prompt", "-") + "'"));

  // More than an argument may hold. The end of it alone decides behind a window.
  const std::string large = scratch.with("prompt", words(150'000 / 9 + 1).substr(0, 150'000));
  REQUIRE(std::filesystem::file_size(large) == 150'000);
  const std::string quick = bare + "--temperature 0 --sinks 0 --window 16 --codec f32 ";
  const std::string piped = output_of("cat '" + large + "' | " + quick + "--prompt -");
  CHECK(lines_of(piped).size() == 20);
  CHECK(output_of(quick + "--prompt-file '" + large + "'") == piped);
  CHECK(output_of("cat '" + large + "' | $tokenize --text - --model " + tiny) ==
        output_of("$tokenize --text '" + large + "' --model " + tiny));
}

TEST_CASE("Prompts that cannot be had are refused, two of them are wrong usage") {
  if (!examples_built()) return;
  const std::string bare = "$stream --quiet --tokens 4 --model " + tiny + " ";
  const std::string file = "'" + scratch.with("prompt", "It was") + "'";
  for (const char* tool : {"$stream", "$speculative"}) {
    const std::string both = std::string(tool) + " --quiet --model " + tiny + " ";
    require_wrong_usage(both + "--prompt-file " + file + " --prompt x");
    require_wrong_usage(both + "--prompt - --prompt-file " + file);
    require_wrong_usage(both + "--prompt x --prompt y");
    require_wrong_usage(both + "--prompt-file " + file + " --prompt-file " + file);
    require_wrong_usage(both + "--prompt");
    require_wrong_usage(both + "--escape");
    require_wrong_usage(both + "--escape --prompt - <" + file);
    require_wrong_usage(both + "--escape --prompt-file " + file);
    require_wrong_usage(both + "--no-prefix-blank --no-prefix-blank");
  }
  require_refused(bare + "--prompt-file nowhere.txt", "nowhere.txt: cannot be read");
  require_refused(bare + "--prompt-file ''", ": cannot be read");
  require_refused(bare + "--prompt-file=", ": cannot be read");
  require_refused(bare + "--prompt-file /", "/: is a directory (expected a text)");
  require_refused(bare + "--prompt - </", "standard input: is a directory");
  require_refused(bare + "--prompt - <&-", "standard input: cannot be read");
  require_refused(perplexity + "--text - </", "standard input: is a directory");
  for (const char* text : {"\\q", "\\", "a\\x4", "\\xG0", "\\x", "\\N", "\\0", "\\\n"}) {
    require_refused(bare + "--escape --prompt '" + text + "'", "--prompt: '\\");
    require_refused(bare + "--escape --prompt x --stop ok --stop '" + text + "'", "--stop: '\\");
  }
  require_refused(bare + "--escape --prompt 'ab\\q'", "'\\q' at byte 2 is no escape");
}

TEST_CASE("--escape spells what a shell does not") {
  if (!examples_built()) return;
  const std::string bare = "$stream --quiet --tokens 30 --model " + tiny + " ";
  const std::string file = scratch.with("prompt", "a\n\tb\\n\xC3\xA9-\x7F");
  CHECK(output_of(bare + "--escape --prompt 'a\\n\\tb\\\\n\\xC3\\xa9-\\x7f'") ==
        output_of(bare + "--prompt-file '" + file + "'"));
  CHECK(output_of(bare + "--prompt 'a\\n'") ==
        output_of(bare + "--prompt-file '" + scratch.with("prompt", "a\\n") + "'"));
  const std::string text = output_of(stream + "--tokens 60");
  const std::string stop = text.substr(text.size() / 2, 1);
  const std::string digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(stop[0]);
  REQUIRE(byte < 0x80);
  CHECK(output_of(stream + "--tokens 60 --escape --stop '\\x" + digits[byte / 16] +
                  digits[byte % 16] + "'") == text.substr(0, text.find(stop)));
}

TEST_CASE("--name= is a flag with an empty value, and a value may look like a flag") {
  if (!examples_built()) return;
  const std::string bare = "$stream --quiet --tokens 20 --model " + tiny + " ";
  CHECK(output_of(bare + "--prompt=") == output_of(bare + "--prompt ''"));
  CHECK(output_of(bare + "--prompt= --seed 3") == output_of(bare + "--seed 3"));
  CHECK(output_of(bare + "--seed 3 --prompt=") == output_of(bare + "--seed 3"));
  for (const char* text : {"--stop=", "--seed", "--", "-", "=", "a="}) {
    const std::string file = scratch.with("prompt", text);
    if (text != std::string("-"))
      CHECK(output_of(bare + "--prompt '" + text + "'") ==
            output_of(bare + "--prompt-file '" + file + "'"));
  }
  require_refused(stream + "--stop=", "stop string: empty");
  require_wrong_usage(stream + "--window=");
  require_wrong_usage(stream + "--policy=");
  require_wrong_usage(stream + "--bogus=");
}

TEST_CASE("--no-prefix-blank encodes a text as it is") {
  if (!examples_built()) return;
  const std::string file = "'" + scratch.with("text", "the wind") + "'";
  const std::string blank = "'" + scratch.with("blank", " the wind") + "'";
  const std::string tokenize = "$tokenize --model " + tiny + " --text ";
  const std::string as_it_is = output_of(tokenize + file + " --no-prefix-blank");
  CHECK(as_it_is != output_of(tokenize + file));
  CHECK(output_of(tokenize + blank + " --no-prefix-blank") == output_of(tokenize + file));
  CHECK(output_of(tokenize + file + " --no-special --no-prefix-blank") == as_it_is.substr(2));
  const std::string bare = "$stream --quiet --ids --tokens 30 --model " + tiny + " --prompt ";
  const std::string plain = output_of(bare + "'the wind'");
  CHECK(output_of(bare + "' the wind' --no-prefix-blank") == plain);
  CHECK(output_of(bare + "'the wind' --no-prefix-blank") != plain);
  const auto rated = [](const std::string& json) { return json.substr(0, json.find("seconds")); };
  CHECK(rated(output_of(perplexity + "--no-prefix-blank --text " + blank)) ==
        rated(output_of(perplexity + "--text " + file)));
  CHECK(rated(output_of(perplexity + "--no-prefix-blank --text " + file)) !=
        rated(output_of(perplexity + "--text " + file)));
  const std::string draft = "$speculative --quiet --tokens 8 --rounds 1 --model " + tiny + " ";
  CHECK(output_of(draft + "--prompt ' the wind' --no-prefix-blank") ==
        output_of(draft + "--prompt-file " + file));
}

TEST_CASE("--bos, --eos and --end-token overrule the file") {
  if (!examples_built()) return;
  const std::string text = scratch.with("text", words(3));
  const std::string tokenize = "$tokenize --model " + tiny + " --text '" + text + "' ";
  const std::string plain = output_of(tokenize + "--no-special");
  REQUIRE(output_of(tokenize + "--bos off --eos off") == plain);
  REQUIRE(output_of(tokenize) == "1 " + plain);
  REQUIRE(output_of(tokenize + "--bos on") == "1 " + plain);
  REQUIRE(output_of(tokenize + "--bos off --eos on") == plain.substr(0, plain.size() - 1) + " 2\n");
  require_wrong_usage(tokenize + "--bos maybe");
  require_wrong_usage(tokenize + "--no-special --eos on");
  require_wrong_usage(stream + "--eos");

  const std::string ids = output_of(stream + "--ids --tokens 40 --temperature 0");
  REQUIRE(output_of(stream + "--ids --tokens 40 --temperature 0 --bos off") != ids);
  const std::vector<std::string> lines = lines_of(ids);
  const auto end = std::find(lines.begin(), lines.end(), lines[20]);
  REQUIRE(lines_of(output_of(stream + "--ids --tokens 40 --temperature 0 --end-token " + lines[20]))
              .size() == static_cast<std::size_t>(end - lines.begin()) + 1);
  require_refused(stream + "--end-token 4096", "end token 4096");

  // Limits that are left open below are not open above.
  require_refused(stream + "--temperature inf",
                  "--temperature: inf (expected 0 or more, and finite)");
  require_refused(stream + "--temperature -1", "--temperature: -1 (expected 0 or more)");
  require_refused(stream + "--seed 18446744073709551616", "(expected 0 or more, below 2^64)");
}

TEST_CASE("models are read instead of mapped, and repacked, without a difference") {
  if (!examples_built()) return;
  const std::string ids = stream + "--ids --tokens 20 --temperature 0";
  const std::string expected = output_of(ids);
  REQUIRE(output_of(ids + " --no-map") == expected);
  REQUIRE(output_of(ids + " --repack --no-map") == expected);
  require_wrong_usage(ids + " --no-map --no-map");
  require_refused("$stream --quiet --no-map --model '" + scratch("none.gguf") + "'", "none.gguf");
}
