// What drafters share that ask a smaller model: its own stream, which follows the target's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/step_rows.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

/// Which model drafts, and behind which cache. The model must outlive the stream; it has the
/// target's vocabulary. A cache that keeps everything stops drafting when it is full.
template <class Stream>
struct draft_source {
  const typename Stream::model_type* model = nullptr;
  typename Stream::keep_type keep = {};
  typename Stream::options_type stream = {.chunk = 64};
};

/// Writes a distribution out over the vocabulary.
inline void spread_distribution(std::span<const token_probability> distribution,
                                std::span<float> dense) {
  std::fill(dense.begin(), dense.end(), 0.0f);
  for (const token_probability& t : distribution)
    dense[static_cast<std::size_t>(t.token)] = t.probability;
}

/// A draft model's stream beside the target's: what is certain is fed to it, drafts are
/// provisional rows of one step that stays open while the tree grows, and what the target accepts
/// of them is committed. So it works behind any cache, and its memory is bounded.
template <class Stream>
class draft_stream {
 public:
  /// `limits`: of the nodes that are read. `batch`: most of them at once.
  draft_stream(const draft_source<Stream>& source, const draft_setup& setup,
               const draft_limits& limits, std::size_t batch)
      : vocabulary_(setup.vocabulary),
        chunk_(source.stream.chunk),
        stream_(*fitting(source, setup).model, source.keep, options_of(source, setup), limits),
        tree_(limits),
        own_(limits.nodes + 1),
        row_(limits.nodes + 1),
        logits_(checked_product(batch, setup.vocabulary)) {
    waiting_.reserve(chunk_ + 1);
    rows_.reserve(batch);
    tokens_.reserve(batch);
    path_.reserve(limits.depth);
  }
  static std::size_t required_bytes(const draft_source<Stream>& source, const draft_setup& setup,
                                    const draft_limits& limits, std::size_t batch) {
    return checked_sum(Stream::required_bytes(*fitting(source, setup).model, source.keep,
                                              options_of(source, setup), limits),
                       draft_tree::required_bytes(limits),
                       checked_product(batch, setup.vocabulary, sizeof(float)));
  }

  /// Tokens that are certain. Those that were drafted need not be read again.
  void append(std::span<const token_id> tokens) {
    for (const token_id token : tokens) {
      if (stream_.is_open()) {
        const draft_tree::node next = tree_.child_with(at_, token);
        if (next != draft_tree::none) {
          at_ = next;
          path_.push_back(row_[next]);
          continue;
        }
        close();
      }
      if (waiting_.size() == chunk_) feed();
      waiting_.push_back(token);
    }
  }

  /// Opens a step for a tree of drafts, and reads the root. False if there is no room to draft.
  bool begin() {
    if (stream_.is_open()) {  // the newest token was drafted: what follows it is asked anew
      path_.pop_back();
      const token_id newest = tree_.token(at_);
      close();
      waiting_.push_back(newest);
    }
    if (waiting_.size() > stream_.cache().finals_room()) feed();
    if (full_ || waiting_.size() > stream_.cache().room()) return false;
    const std::size_t finals = waiting_.size();
    depth_ = stream_.cache().draft_room(finals);
    stream_.open(waiting_);
    waiting_.clear();
    tree_.start(0, {row_.size() - 1, row_.size() - 1, row_.size() - 1});
    rows_made_ = finals;
    row_[0] = finals - 1;
    at_ = 0;
    path_.clear();
    std::copy_n(stream_.logits().data(), vocabulary_, logits_.data());
    return true;
  }
  /// True if drafts at this depth can be read.
  bool reaches(std::size_t depth) const { return depth <= depth_; }

  /// Reads drafts, all at once: the root or nodes read before are their parents. Each once.
  void read(const draft_tree& tree, std::span<const draft_tree::node> nodes) {
    rows_.clear();
    tokens_.clear();
    for (const draft_tree::node n : nodes) {
      const draft_tree::node parent = tree.parent(n);
      rows_.push_back({static_cast<int>(row_[parent == 0 ? 0 : own_[parent]]), true});
      tokens_.push_back(tree.token(n));
      own_[n] = tree_.add(tree.token(n), parent == 0 ? 0 : own_[parent]);
      row_[own_[n]] = rows_made_++;
    }
    stream_.extend(tokens_, rows_);
    stream_.row_logits(rows_made_ - nodes.size(), nodes.size(), logits_.data());
  }
  /// `[vocabulary]`: what follows number `i` of the nodes last read; of the root, after `begin`.
  std::span<const float> logits(std::size_t i = 0) const {
    return std::span(logits_).subspan(i * vocabulary_, vocabulary_);
  }

  void reset() {
    stream_.reset();
    waiting_.clear();
    full_ = false;
  }

 private:
  static const draft_source<Stream>& fitting(const draft_source<Stream>& source,
                                             const draft_setup& setup) {
    using error::bad_config, error::require;
    require<bad_config>(source.model != nullptr, "draft model: none given (expected a model)");
    require<bad_config>(source.model->config.vocab_size == setup.vocabulary,
                        "draft model: a vocabulary of ", source.model->config.vocab_size,
                        " tokens (expected the target's ", setup.vocabulary, ")");
    return source;
  }
  static typename Stream::options_type options_of(const draft_source<Stream>& source,
                                                  const draft_setup& setup) {
    auto options = source.stream;
    options.workers = setup.threads;
    return options;
  }

  void feed() {
    full_ = full_ || waiting_.size() > stream_.cache().room();
    if (!full_) stream_.feed(waiting_);
    waiting_.clear();
  }
  void close() { stream_.commit(path_); }

  std::size_t vocabulary_, chunk_;
  Stream stream_;
  std::vector<token_id> waiting_;  // certain, and not fed yet
  bool full_ = false;

  // The open step.
  std::size_t depth_ = 0, rows_made_ = 0;
  draft_tree tree_;                    // the nodes that were read
  std::vector<draft_tree::node> own_;  // [node of the target's tree] number in tree_
  std::vector<std::size_t> row_;       // [node of tree_]
  draft_tree::node at_ = 0;            // how far the target has come
  std::vector<std::size_t> path_;      // rows on the way there
  std::vector<row> rows_;
  std::vector<token_id> tokens_;
  std::vector<float> logits_;  // [node last read, vocabulary]
};

}  // namespace weir::inline WEIR_TARGET
