// Bytes in memory of the kind that caches and repacked weights lie in.
#pragma once

#include <cstddef>
#include <span>

#include <weir/core/arena.hpp>

namespace weir_bench {

class byte_buffer {
 public:
  explicit byte_buffer(std::size_t bytes) {
    weir::arena_plan plan;
    const auto block = plan.reserve<std::byte>(bytes);
    memory_ = weir::arena(plan);
    bytes_ = memory_[block];
  }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  weir::arena memory_;
  std::span<std::byte> bytes_;
};

}  // namespace weir_bench
