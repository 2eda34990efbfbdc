// The main function of every test: Catch's session, plus an exit code for "everything skipped".
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"

#include "support/skip.hpp"

namespace {

int cases_run = 0;
int cases_skipped = 0;

#if CATCH_VERSION_MAJOR >= 3
using listener_base = Catch::EventListenerBase;
#else
using listener_base = Catch::TestEventListenerBase;
#endif

/// Tells the cases that skipped from those that ran.
struct skip_listener : listener_base {
  using listener_base::listener_base;
  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    listener_base::testCaseStarting(info);
    skips_before = weir_test::skip_count;
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    listener_base::testCaseEnded(stats);
    const bool skipped =
        weir_test::skip_count > skips_before && stats.totals.assertions.total() == 0;
    ++(skipped ? cases_skipped : cases_run);
  }
  int skips_before = 0;
};

}  // namespace

CATCH_REGISTER_LISTENER(skip_listener)

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  if (cases_skipped > 0) std::cerr << "SKIPPED: " << cases_skipped << " test case(s)\n";
  return result == 0 && cases_skipped > 0 && cases_run == 0 ? 77 : result;
}
