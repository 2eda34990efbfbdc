#include <weir/core/available_threads.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include <weir/core/thread_pool.hpp>
#include "support/catch.hpp"

namespace fs = std::filesystem;

namespace {

constexpr unsigned unlimited = weir::detail::unlimited;

/// Files like those of a system, in a folder that goes with them.
class system_files {
 public:
  /// `own`: what /proc/self/cgroup says; `files`: others, by their paths under /sys/fs/cgroup.
  system_files(const std::string& own, const std::map<std::string, std::string>& files) {
    fs::create_directories(folder_);
    std::ofstream(folder_ / "own") << own;
    for (const auto& [path, text] : files) {
      fs::create_directories((folder_ / path).parent_path());
      std::ofstream(folder_ / path) << text;
    }
  }
  ~system_files() { fs::remove_all(folder_); }

  weir::cgroup_files paths() const { return {folder_.string(), (folder_ / "own").string()}; }

 private:
  static inline int made_ = 0;
  fs::path folder_ = fs::current_path() / ("available_threads " + std::to_string(made_++));
};

unsigned granted(const std::string& own, const std::map<std::string, std::string>& files) {
  const system_files system(own, files);
  return weir::processors_granted(system.paths());
}

}  // namespace

TEST_CASE("a quota of version 2 counts, rounded up") {
  CHECK(granted("0::/app\n", {{"app/cpu.max", "200000 100000\n"}}) == 2);
  CHECK(granted("0::/app\n", {{"app/cpu.max", "200001 100000\n"}}) == 3);
  CHECK(granted("0::/app\n", {{"app/cpu.max", "1 100000\n"}}) == 1);
  CHECK(granted("0::/app\n", {{"app/cpu.max", "150000 50000\n"}}) == 3);
  CHECK(granted("0::/app\n", {{"app/cpu.max", "9223372036854775807 1\n"}}) == unlimited);
}

TEST_CASE("the tightest of a group and those above it counts") {
  const std::string own = "0::/outer/middle/inner\n";
  const std::string four = "400000 100000\n", two = "200000 100000\n";
  CHECK(granted(own, {{"outer/middle/inner/cpu.max", four}, {"outer/cpu.max", two}}) == 2);
  CHECK(granted(own, {{"outer/middle/inner/cpu.max", two}, {"outer/cpu.max", four}}) == 2);
  CHECK(granted(own, {{"outer/middle/cpu.max", two}, {"outer/cpu.max", "max 100000\n"}}) == 2);
  // Others' groups do not.
  CHECK(granted(own, {{"outer/other/cpu.max", two}, {"outer/mid/cpu.max", two}}) == unlimited);
}

TEST_CASE("in a container its own group is what is mounted") {
  CHECK(granted("0::/\n", {{"cpu.max", "200000 100000\n"}}) == 2);
  CHECK(granted("0::/../outside\n", {{"cpu.max", "200000 100000\n"}}) == 2);
  CHECK(granted("4:cpu,cpuacct:/docker/0123\n", {{"cpu/cpu.cfs_quota_us", "300000\n"},
                                                 {"cpu/cpu.cfs_period_us", "100000\n"}}) == 3);
}

TEST_CASE("a quota of version 1 counts") {
  const std::string own = "11:memory:/app\n5:cpuacct,cpu:/app/inner\n1:name=systemd:/\n0::/\n";
  const auto with = [&](const std::string& quota, const std::string& folder) {
    return granted(
        own, {{folder + "/cpu.cfs_quota_us", quota}, {folder + "/cpu.cfs_period_us", "100000\n"}});
  };
  CHECK(with("150000\n", "cpu/app/inner") == 2);
  CHECK(with("150000\n", "cpu/app") == 2);
  CHECK(with("150000\n", "cpuacct,cpu/app") == 2);
  CHECK(with("-1\n", "cpu/app/inner") == unlimited);
  CHECK(with("150000\n", "memory/app") == unlimited);
  // Without a period there is no quota.
  CHECK(granted(own, {{"cpu/app/cpu.cfs_quota_us", "150000\n"}}) == unlimited);
}

TEST_CASE("what sets no limit, makes no sense or is not there sets none") {
  for (const char* text : {"max 100000\n", "max\n", "", "garbage\n", "200000\n", "0 100000\n",
                           "200000 0\n", "-5 100000\n", "2e5 100000\n", "\xff\xfe"})
    CHECK(granted("0::/app\n", {{"app/cpu.max", text}}) == unlimited);
  for (const char* own : {"", "\n\n", "garbage", "0:", "0::", ":::", "5:cpu,:", "5:xcpu:/app\n"})
    CHECK(granted(own, {{"app/cpu.max", "200000 100000\n"}}) == unlimited);
  CHECK(weir::processors_granted({"nowhere", "nowhere/own"}) == unlimited);
  CHECK(weir::available_threads({"nowhere", "nowhere/own"}) >= 1);
}

TEST_CASE("the least of processors allowed and granted is available") {
  const system_files one("0::/\n", {{"cpu.max", "50000 100000\n"}});
  CHECK(weir::available_threads(one.paths()) == 1);
  const system_files many("0::/\n", {{"cpu.max", "100000000 100\n"}});
  CHECK(weir::available_threads(many.paths()) == weir::detail::allowed_processors());
}

#if defined(__linux__)
TEST_CASE("a process that may run on one processor uses one thread") {
  // As under `taskset -c`, for a thread of its own.
  unsigned available = 0, width = 0;
  bool bound = false;
  std::thread([&] {
    cpu_set_t all, first;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    CPU_ZERO(&first);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; ++cpu)
      if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &first);
    bound = sched_setaffinity(0, sizeof first, &first) == 0;
    available = weir::available_threads({"nowhere", "nowhere/own"});
    width = weir::thread_pool().width();
  }).join();
  REQUIRE(bound);
  CHECK(available == 1);
  CHECK(width == 1);
}
#endif
