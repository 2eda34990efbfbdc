// Bodies of core/available_threads.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>

#include <cerrno>
#endif

#include <weir/core/available_threads.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE std::string text_of(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "r"), [](auto* f) { return std::fclose(f); });
  std::string text;
  if (file == nullptr) return text;
  text.resize(std::size_t{1} << 16);
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

WEIR_INLINE unsigned quota_of_group(const std::string& folder, bool version_1) {
  long long quota = 0, period = 0;
  if (version_1) {
    if (std::sscanf(text_of(folder + "/cpu.cfs_quota_us").c_str(), "%lld", &quota) != 1 ||
        std::sscanf(text_of(folder + "/cpu.cfs_period_us").c_str(), "%lld", &period) != 1)
      return unlimited;
  } else if (std::sscanf(text_of(folder + "/cpu.max").c_str(), "%lld %lld", &quota, &period) != 2) {
    return unlimited;  // "max 100000", or nothing that anybody understands
  }
  return whole_processors(quota, period);
}

WEIR_INLINE unsigned quota_of_groups(const std::string& mounted, std::string_view group,
                                     bool version_1) {
  unsigned least = unlimited;
  // Inside a container, groups above its own are not there, and its own is what is mounted.
  for (;;) {
    while (group.ends_with('/')) group.remove_suffix(1);
    least = std::min(least, quota_of_group(mounted + std::string(group), version_1));
    if (group.empty()) return least;
    group = group.substr(0, group.rfind('/') + 1);
  }
}

WEIR_INLINE bool lists(std::string_view list, std::string_view controller) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    if (list.substr(0, end) == controller) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

WEIR_INLINE unsigned allowed_processors() {
#if defined(__linux__)
  // The kernel refuses room for fewer processors than it was built for.
  for (std::size_t words = 16; words <= 4096; words *= 2) {
    std::vector<unsigned long> mask(words);
    if (sched_getaffinity(0, words * sizeof mask[0], reinterpret_cast<cpu_set_t*>(mask.data())) ==
        0) {
      unsigned n = 0;
      for (const unsigned long word : mask) n += static_cast<unsigned>(std::popcount(word));
      return n;
    }
    if (errno != EINVAL) break;
  }
#endif
  return std::thread::hardware_concurrency();
}

}  // namespace detail

WEIR_INLINE unsigned processors_granted(const cgroup_files& files) {
  const std::string text = detail::text_of(files.own);
  unsigned least = detail::unlimited;
  // Lines "0::/group" of version 2 and "4:cpu,cpuacct:/group" of version 1.
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t first = line.find(':');
    if (first == line.npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view group = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, detail::quota_of_groups(files.mounted, group, false));
    } else if (detail::lists(controllers, "cpu")) {
      least = std::min(least, detail::quota_of_groups(files.mounted + "/cpu", group, true));
      least = std::min(least, detail::quota_of_groups(
                                  files.mounted + '/' + std::string(controllers), group, true));
    }
  }
  return least;
}

}  // namespace weir::inline WEIR_TARGET
