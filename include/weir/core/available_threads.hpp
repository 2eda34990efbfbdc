// How many threads a process may use: as many as there are processors that it may run on
// (`taskset`, cpusets), and no more than its control groups grant it time for (containers).
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Where a system tells of control groups.
struct cgroup_files {
  std::string mounted = "/sys/fs/cgroup";  ///< the folder of version 2, or of version 1's folders
  std::string own = "/proc/self/cgroup";   ///< the groups that this process is in
};

namespace detail {

/// The text of a file; empty if there is none. No more than 64 KiB.
std::string text_of(const std::string& path);

inline constexpr unsigned unlimited = std::numeric_limits<unsigned>::max();

/// Processors whose whole time is `quota` of every `period`, rounded up.
inline unsigned whole_processors(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return unlimited;
  return static_cast<unsigned>(std::min<long long>(1 + (quota - 1) / period, unlimited));
}

/// What the files of one group say.
unsigned quota_of_group(const std::string& folder, bool version_1);

/// Processors that a group and those above it grant: the least of them.
unsigned quota_of_groups(const std::string& mounted, std::string_view group, bool version_1);

/// True if `list` "cpu,cpuacct" has the controller.
bool lists(std::string_view list, std::string_view controller);

/// Processors that the system lets the calling thread run on; 0 if it does not tell.
unsigned allowed_processors();

}  // namespace detail

/// Processors whose whole time the control groups of this process grant it, rounded up; the largest
/// number if they set no limit, or cannot be read.
unsigned processors_granted(const cgroup_files& files = {});

/// Threads that can run at once in this process: processors that the calling thread may run on, and
/// no more than control groups grant. At least 1. Reads a few small files.
inline unsigned available_threads(const cgroup_files& files = {}) {
  return std::max(1u, std::min(detail::allowed_processors(), processors_granted(files)));
}

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/core/available_threads.inl.hpp>
#endif
