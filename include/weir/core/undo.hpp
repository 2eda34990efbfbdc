// Undoing what an error has left half done.
#pragma once

#include <utility>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Calls `undo()` at the end of its scope, unless `done()` was called before: an exception passes.
/// `undo` must not throw.
template <class Undo>
class [[nodiscard]] undo_unless_done {
 public:
  explicit undo_unless_done(Undo undo) : undo_(std::move(undo)) {}
  ~undo_unless_done() {
    if (!done_) undo_();
  }
  undo_unless_done(const undo_unless_done&) = delete;
  undo_unless_done& operator=(const undo_unless_done&) = delete;

  void done() { done_ = true; }

 private:
  Undo undo_;
  bool done_ = false;
};

}  // namespace weir::inline WEIR_TARGET
