// Decodes a prompt without and with drafts, in turns, and says what the drafts brought.
//
//   speculative --model model.gguf --prompt "It was a dark night" --drafter prompt-lookup
//   speculative --model model.gguf --prompt … --drafter dynamic-tree --draft small.gguf
//
// Generated text goes to stdout, the rest to stderr. Exit status: 0 done or interrupted, 1 an input
// was refused, or tokens differ that must not, 2 wrong usage.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/flags.hpp"
#include "support/interrupt.hpp"
#include "support/prompt.hpp"
#include "support/session.hpp"
#include "support/status.hpp"

namespace {

struct settings {
  std::string model, draft;
  tool::prompt_choice prompt;
  weir::load_options load;
  std::size_t tokens = 200, rounds = 3;
  bool quiet = false;
  tool::cache_choice cache;
  weir::decoder_options decoder;
  tool::speculation_choice speculation;
};

/// One generation from the start, timed from its first token on.
struct timed_run {
  std::vector<weir::token_id> ids;
  double seconds = 0;
};

template <class Each>
timed_run run(tool::generator& generator, std::span<const weir::token_id> prompt,
              std::size_t tokens, const std::stop_token& interrupted, Each each) {
  using clock = std::chrono::steady_clock;
  timed_run r;
  clock::time_point first;
  generator.reset();
  generator.generate(prompt,
                     [&](const weir::token_event& e) {
                       if (r.ids.empty()) first = clock::now();
                       r.ids.push_back(e.id);
                       each(e);
                       return true;
                     },
                     {tokens, interrupted});
  if (!r.ids.empty()) r.seconds = std::chrono::duration<double>(clock::now() - first).count();
  return r;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string share(std::uint64_t part, std::uint64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%",
                whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0);
  return text;
}

/// The counters while they count.
std::string live(const weir::speculation_counters& c) {
  char text[80];
  std::snprintf(
      text, sizeof text, "%.2f tokens a pass, ",
      c.rounds > 0 ? 1 + static_cast<double>(c.accepted) / static_cast<double>(c.rounds) : 0.0);
  return text + share(c.accepted, c.proposed) + " of drafts accepted";
}

void print(const weir::speculation_counters& c, std::size_t tokens) {
  const auto line = [](const char* name, std::uint64_t n, const std::string& note = {}) {
    std::fprintf(stderr, "%-28s %8llu  %s\n", name, static_cast<unsigned long long>(n),
                 note.c_str());
  };
  line("tokens", tokens);
  line("passes of the target", c.rounds);
  line("  with drafts", c.drafted);
  line("    all of a path accepted", c.fully, share(c.fully, c.drafted));
  line("    some of it", c.partly, share(c.partly, c.drafted));
  line("    none", c.not_at_all, share(c.not_at_all, c.drafted));
  line("  clipped at a boundary", c.clipped);
  line("drafts", c.proposed);
  line("  accepted", c.accepted, share(c.accepted, c.proposed));
  line("corrections", c.corrections);
  line("bonus tokens", c.bonus);
  std::fprintf(stderr, "drafting %.1f ms, verifying %.1f ms\n", 1e3 * c.draft_seconds,
               1e3 * c.verify_seconds);
}

void compare(settings s, std::string_view text, const std::stop_token& interrupted) {
  const weir::llama_model model = weir::load_model(s.model, s.load);
  std::optional<weir::llama_model> draft;
  if (!s.draft.empty()) s.speculation.draft = &draft.emplace(weir::load_model(s.draft, s.load));
  const std::vector<weir::token_id> prompt = model.tokenizer.encode(text, s.decoder.marks);
  s.cache.rows = tool::require_context(s.cache, prompt.size() + s.tokens - 1, model);
  const auto plain = tool::make_generator(model, s.cache, s.decoder);
  const auto drafting = tool::make_speculator(model, s.cache, s.decoder, s.speculation);

  std::vector<double> plain_seconds, seconds, ratios;
  timed_run expected, got;
  for (std::size_t round = 0; round < s.rounds && !interrupted.stop_requested(); ++round) {
    expected = run(*plain, prompt, s.tokens, interrupted, [](const weir::token_event&) {});
    const bool shown = round == 0;
    tool::status_line status(
        *drafting, s.cache,
        shown && !s.quiet ? tool::status_line::when::on_terminal : tool::status_line::when::never,
        [&] { return live(drafting->counters()); });
    got = run(*drafting, prompt, s.tokens, interrupted, [&](const weir::token_event& e) {
      if (!shown) return;
      std::cout << e.text << std::flush;
      status.count();
    });
    if (shown) std::cout << '\n' << std::flush;
    plain_seconds.push_back(expected.seconds);
    seconds.push_back(got.seconds);
    ratios.push_back(expected.seconds / got.seconds);
  }
  if (interrupted.stop_requested()) return;
  const bool same = got.ids == expected.ids;
  if (!s.quiet) {
    print(drafting->counters(), got.ids.size());
    const auto rate = [&](double spent) { return static_cast<double>(got.ids.size() - 1) / spent; };
    std::fprintf(stderr,
                 "plain %.0f tokens/s, with drafts %.0f: %.2f times as fast (medians of %zu)\n"
                 "the tokens are %s\n",
                 rate(median(plain_seconds)), rate(median(seconds)), median(ratios), s.rounds,
                 same ? "the same" : "others");
  }
  weir::error::require<weir::error::bad_call>(
      same || s.speculation.verifier != "match",
      "tokens differ from plain decoding, which must never be");
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  weir::sampling& sample = s.decoder.sample;
  sample.temperature = 0;
  tool::speculation_choice& how = s.speculation;
  tool::command_line line("speculative", "Decodes without and with drafts, and compares.");
  line.file("--model", s.model, "GGUF file")->required();
  line.loading(s.load);
  tool::add_prompt_flags(line, s.prompt, nullptr);
  line.marks(s.decoder.marks);
  line.number<std::size_t>("--tokens", s.tokens, "tokens to generate", 2, std::size_t{1} << 31);
  line.number<std::size_t>("--rounds", s.rounds, "times that both are run", 1, 1000);
  line.choice("--drafter", how.drafter, tool::drafter_names(), "who drafts");
  line.choice(
      "--verifier", how.verifier, {"match", "rejection", "typical-lossy"},
      "match: the tokens of plain decoding; rejection: its distribution; typical-lossy: neither");
  auto* draft =
      line.file("--draft", s.draft, "the draft model (draft-model, static-tree, dynamic-tree)");
  line.number<std::size_t>("--draft-tokens", how.drafts, "in a round, at most", 1, 64);
  auto* depth = line.number<std::size_t>("--depth", how.depth, "of a tree", 1, 64);
  auto* width = line.number<std::size_t>("--width", how.width, "of a tree", 1, 64);
  auto* threshold = line.number<double>(
      "--threshold", how.threshold,
      "0: draft by draft; else depth by depth, none worth less (dynamic-tree)", 0, 0.999);
  auto* layers = line.number<std::size_t>("--layers", how.layers,
                                          "of the model that draft (early-exit)", 1, 1024);
  line.on_off("--adaptive", how.adaptive, "as many drafts as have paid lately");
  line.number<float>("--temperature", sample.temperature, "0: always the most probable token", 0);
  line.number<std::size_t>("--top-k", sample.top_k, "choose among so many; 0: all", 0);
  line.number<float>("--top-p", sample.top_p, "choose among those that reach this probability", 0,
                     1);
  line.number<float>("--repetition-penalty", sample.repetition_penalty,
                     "divides the logits of tokens said lately", 0);
  std::string draw = "cdf";
  line.choice("--draw", draw, {"cdf", "gumbel"},
              "gumbel: by noise that a draft model shares, for more agreement");
  line.number<std::uint64_t>("--seed", s.decoder.seed, "of the randomness", 0);
  tool::add_cache_flags(line, s.cache, s.decoder.stream);
  tool::add_work_flags(line, s.decoder.stream);
  line.on_off("--quiet", s.quiet, "print nothing but the text");
  line.check([&] {
    const std::string& d = how.drafter;
    const auto unread = [&](const CLI::Option* flag, bool read) {
      if (flag->count() > 0 && !read)
        throw CLI::ValidationError(flag->get_name(), "not read by --drafter " + d);
    };
    unread(draft, tool::asks_model(d));
    unread(depth, d == "lookahead" || d == "static-tree" || d == "dynamic-tree");
    unread(width, d == "lookahead" || d == "dynamic-tree");
    unread(threshold, d == "dynamic-tree");
    unread(layers, d == "early-exit");
  });
  return line.run(argc, argv, [&] {
    if (draw == "gumbel") sample.draw = weir::draw_rule::gumbel;
    const std::string text = tool::read_prompt(s.prompt);  // may wait, and be interrupted
    compare(std::move(s), text, tool::stop_on_interrupt());
  });
}
