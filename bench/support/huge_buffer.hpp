// Memory in huge pages, if the system grants them, so that address translation costs next to
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include <sys/mman.h>

namespace weir_bench {

/// Bytes that start on a huge page. All are written once, so that each has memory of its own.
class huge_buffer {
 public:
  explicit huge_buffer(std::size_t bytes) : mapped_(bytes + page) {
    map_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    madvise(map_, mapped_, MADV_HUGEPAGE);
    const std::size_t offset = (page - reinterpret_cast<std::uintptr_t>(map_) % page) % page;
    bytes_ = {static_cast<std::byte*>(map_) + offset, bytes};
    std::memset(bytes_.data(), 1, bytes);
  }
  ~huge_buffer() { munmap(map_, mapped_); }
  huge_buffer(const huge_buffer&) = delete;
  huge_buffer& operator=(const huge_buffer&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  static constexpr std::size_t page = std::size_t{2} << 20;

  std::size_t mapped_;
  void* map_;
  std::span<std::byte> bytes_;
};

}  // namespace weir_bench
