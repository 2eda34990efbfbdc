// Do drafts change anything? Every kind of eviction × position × codec × drafter, greedy and
// sampled, on two models, alone and in batches: each stream's ids, and the bits of the logits that
// they were drawn from, against decoding without drafts.
//
//   speculation_exactness MODELS TEXT [PROMPTS] [TOKENS] [DRAFTER]
//
// MODELS: a folder with weir-tiny-f16.gguf, weir-nano-f16.gguf and stories260K-f32.gguf. Prints a
// table; exit status 1 if anything differed.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "speculation/decoded.hpp"

namespace {

using namespace weir_test;

struct tally {
  std::size_t streams = 0, same_ids = 0, same_logits = 0;
  std::uint64_t proposed = 0, accepted = 0;

  void add(const decoded& plain, const decoded& drafted) {
    ++streams;
    same_ids += plain.ids == drafted.ids;
    same_logits += plain == drafted;
    proposed += drafted.counters.proposed;
    accepted += drafted.counters.accepted;
  }
  void add(const tally& t) {
    streams += t.streams;
    same_ids += t.same_ids;
    same_logits += t.same_logits;
    proposed += t.proposed;
    accepted += t.accepted;
  }
};

struct subject {
  std::string name;
  const weir::llama_model *target, *draft;
};

struct work {
  const subject* of;
  setup cache;
  bool sampled;
};

constexpr const char* policy_names[] = {"everything", "window", "sinks + window",
                                        "sinks + window + scores"};
constexpr const char* codec_names[] = {"f32", "f16", "bf16", "int8", "int4"};

/// Counts by (what is compared, row of its table).
class results {
 public:
  void add(const std::string& table, const std::string& row, const tally& t) {
    const std::lock_guard lock(mutex_);
    auto& rows = tables_[table];
    const auto at = std::find_if(rows.begin(), rows.end(), [&](auto& r) { return r.first == row; });
    (at != rows.end() ? at : rows.insert(rows.end(), {row, {}}))->second.add(t);
  }
  /// Prints a table; false if something in it differed.
  bool print(const std::string& table) {
    std::printf("| %s | streams | same ids | same logits, bit for bit | drafts accepted |\n",
                table.c_str());
    std::printf("|---|---|---|---|---|\n");
    bool same = true;
    for (const auto& [row, t] : tables_[table]) {
      std::printf(
          "| %s | %zu | %zu | %zu | %.1f %% |\n", row.c_str(), t.streams, t.same_ids, t.same_logits,
          t.proposed > 0 ? 100.0 * static_cast<double>(t.accepted) / static_cast<double>(t.proposed)
                         : 0.0);
      same = same && t.same_logits == t.streams;
    }
    std::printf("\n");
    return same;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::pair<std::string, tally>>> tables_;
};

/// With every drafter, or one.
void run(const work& w, std::span<const std::vector<weir::token_id>> prompts, std::size_t tokens,
         const std::string& drafter, results& all) {
  decode_job job{.model = w.of->target, .cache = w.cache, .seed = 11, .tokens = tokens};
  job.sample = w.sampled ? weir::sampling{.temperature = 0.8f, .top_p = 0.95f}
                         : weir::sampling{.temperature = 0};
  std::vector<decoded> plain;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    plain.push_back(decode(job, prompts.subspan(i, 1), i)[0]);
  const auto compare = [&](std::size_t batch, std::size_t streams, const auto& speculation) {
    tally t;
    for (std::size_t first = 0; first < streams; first += batch) {
      const auto part = prompts.subspan(first, std::min(batch, streams - first));
      const auto drafted = decode(job, part, first, speculation);
      for (std::size_t i = 0; i < part.size(); ++i) t.add(plain[first + i], drafted[i]);
    }
    all.add("batch", std::to_string(batch), t);
    return t;
  };
  for_each_drafter(*w.of->target, *w.of->draft,
                   [&](const std::string& name, const auto& speculation) {
                     if (!drafter.empty() && name != drafter) return;
                     tally t = compare(1, prompts.size(), speculation);
                     t.add(compare(4, std::min<std::size_t>(prompts.size(), 16), speculation));
                     t.add(compare(8, std::min<std::size_t>(prompts.size(), 16), speculation));
                     all.add("drafter", name, t);
                     all.add("eviction", policy_names[int(w.cache.keeps)], t);
                     all.add("positions", w.cache.renumbers ? "within the cache" : "original", t);
                     all.add("codec", codec_names[int(w.cache.stored)], t);
                     all.add("sampling", w.sampled ? "temperature 0.8, top-p 0.95" : "greedy", t);
                     all.add("model", w.of->name, t);
                   });
}

std::string read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3)
    return std::fputs("usage: speculation_exactness MODELS TEXT [PROMPTS] [TOKENS] [DRAFTER]\n",
                      stderr),
           2;
  const std::string models = argv[1], text = read(argv[2]);
  const std::size_t count = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 64;
  const std::size_t tokens = argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 128;
  const std::string drafter = argc > 5 ? argv[5] : "";
  const weir::llama_model tiny = weir::load_model(models + "/weir-tiny-f16.gguf");
  const weir::llama_model nano = weir::load_model(models + "/weir-nano-f16.gguf");
  const weir::llama_model stories = weir::load_model(models + "/stories260K-f32.gguf");
  const subject subjects[] = {{"weir-tiny, drafts by weir-nano", &tiny, &nano},
                              {"stories260K, drafts by itself", &stories, &stories}};

  std::vector<work> todo;
  std::map<const subject*, std::vector<std::vector<weir::token_id>>> prompts;
  for (const subject& s : subjects) {
    for (std::size_t i = 0; i < count; ++i) prompts[&s].push_back(prompt_from(*s.target, text, i));
    for (const policy keeps : policies)
      for (const bool renumbers : {false, true})
        for (const codec stored : {codec::f32, codec::f16, codec::int8})
          for (const bool sampled : {false, true})
            todo.push_back({&s,
                            {.stored = stored,
                             .keeps = keeps,
                             .renumbers = renumbers,
                             .capacity = 80 + tokens,
                             .sinks = keeps == policy::window ? 0u : 4u,
                             .window = keeps == policy::scored ? 24u : 60u,
                             .scored = 32},
                            sampled});
  }
  results all;
  std::atomic<std::size_t> next = 0;
  const auto worker = [&] {
    for (std::size_t i; (i = next++) < todo.size();) {
      run(todo[i], prompts[todo[i].of], tokens, drafter, all);
      std::fprintf(stderr, "\r%zu of %zu", i + 1, todo.size());
    }
  };
  {
    std::vector<std::jthread> threads;
    threads.resize(weir::available_threads());
    for (std::jthread& thread : threads) thread = std::jthread(worker);
  }
  std::fputs("\n", stderr);
  bool same = true;
  for (const char* table :
       {"drafter", "eviction", "positions", "codec", "sampling", "batch", "model"})
    same = all.print(table) && same;
  return same ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "speculation_exactness: %s\n", e.what());
  return 1;
}
