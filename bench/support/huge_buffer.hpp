// Memory in huge pages, if the system grants them, so that address translation costs next to
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <sys/mman.h>

namespace weir_bench {

/// Bytes that start on a huge page. They read as zeros, and are not there until first written.
class huge_buffer {
 public:
  static constexpr std::size_t page = std::size_t{2} << 20;

  explicit huge_buffer(std::size_t bytes) : bytes_(bytes), mapped_(bytes + page) {
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    madvise(base_, mapped_, MADV_HUGEPAGE);
  }
  ~huge_buffer() { munmap(base_, mapped_); }
  huge_buffer(const huge_buffer&) = delete;
  huge_buffer& operator=(const huge_buffer&) = delete;

  std::span<std::byte> bytes() const {
    const std::size_t offset = (page - reinterpret_cast<std::uintptr_t>(base_) % page) % page;
    return {static_cast<std::byte*>(base_) + offset, bytes_};
  }

 private:
  std::size_t bytes_, mapped_;
  void* base_;
};

}  // namespace weir_bench
