// Which of the instruction sets that this library was built for a program uses. Compiled for any
// processor of its kind.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <weir/kernels/compiled_kernels.hpp>

#include "needs.hpp"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

// WEIR_ISAS: what was built, the best first, as WEIR_ISAS(use) with use(name) for each.
#include "isas.hpp"

#define WEIR_DECLARE(isa) extern "C" const weir_compiled_kernels weir_##isa##_kernels;
WEIR_ISAS(WEIR_DECLARE)

namespace weir_compiled {

namespace {

/// Names of instruction sets that this kind of processor may have.
#if defined(__aarch64__)
constexpr std::string_view known[] = {"neon"};
#else
constexpr std::string_view known[] = {"sse2", "avx2", "avx512"};
#endif

#if defined(__x86_64__) || defined(__i386__)
/// The registers of CPUID, for features that older compilers' __builtin_cpu_supports does not know.
struct cpuid_leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  cpuid_leaf(unsigned leaf, unsigned subleaf) {
    if (__get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx) == 0) *this = {};
  }
  cpuid_leaf() = default;
};
#endif

struct feature {
  std::uint64_t bit;
  const char* name;
  bool there;
};

/// What the processor, and the system that saves its registers, have.
std::vector<feature> features() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  const cpuid_leaf first(1, 0), seventh(7, 0), seventh_more(7, 1);
#define WEIR_HAS(x) (__builtin_cpu_supports(x) != 0)
  return {
      {sse4, "SSE4.2", WEIR_HAS("sse4.2") && WEIR_HAS("popcnt")},
      {avx, "AVX", WEIR_HAS("avx")},
      {avx2, "AVX2", WEIR_HAS("avx2")},
      {fma, "FMA", WEIR_HAS("fma")},
      {f16c, "F16C", WEIR_HAS("avx") && (first.ecx >> 29 & 1) != 0},
      {bmi2, "BMI2", WEIR_HAS("bmi2")},
      {avx512, "AVX-512",
       WEIR_HAS("avx512f") && WEIR_HAS("avx512bw") && WEIR_HAS("avx512cd") &&
           WEIR_HAS("avx512dq") && WEIR_HAS("avx512vl")},
      {avx512_vnni, "AVX-512 VNNI", WEIR_HAS("avx512vnni")},
      {avx512_vbmi, "AVX-512 VBMI2 and BITALG",
       WEIR_HAS("avx512vbmi2") && WEIR_HAS("avx512bitalg")},
      {avx512_fp16, "AVX-512 FP16", WEIR_HAS("avx512f") && (seventh.edx >> 23 & 1) != 0},
      {avx_vnni, "AVX-VNNI", WEIR_HAS("avx2") && (seventh_more.eax >> 4 & 1) != 0},
      {gfni, "GFNI", WEIR_HAS("gfni")},
  };
#undef WEIR_HAS
#elif defined(__aarch64__) && defined(__linux__)
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  return {{dot_products, "dot products", (first >> 20 & 1) != 0},
          {sve, "SVE", (first >> 22 & 1) != 0},
          {int8_products, "I8MM", (second >> 13 & 1) != 0}};
#else
  return {};
#endif
}

/// What the processor lacks of `kernels`; null if nothing.
const char* lacking(const weir_compiled_kernels& kernels) {
  for (const feature& f : features())
    if ((kernels.needs & f.bit) != 0 && !f.there) return f.name;
  return nullptr;
}

const weir_compiled_kernels* const built[] = {
#define WEIR_ADDRESS(isa) &weir_##isa##_kernels,
    WEIR_ISAS(WEIR_ADDRESS)};

/// "a, b or c"
template <class Range, class Name>
std::string list(const Range& all, Name name) {
  std::string text;
  std::size_t left = std::size(all);
  for (const auto& one : all) {
    text += name(one);
    if (--left > 0) text += left > 1 ? ", " : " or ";
  }
  return text;
}
std::string names_built() {
  return list(built, [](const weir_compiled_kernels* k) { return k->name; });
}

struct choice {
  const weir_compiled_kernels* kernels = nullptr;
  std::string problem;

  choice() {
    const char* const asked = std::getenv("WEIR_ISA");
    const std::string_view name = asked != nullptr ? asked : "";
    const char* lacks = nullptr;
    for (const weir_compiled_kernels* k : built) {
      if (!name.empty() && name != k->name) continue;
      lacks = lacking(*k);
      if (lacks == nullptr) {
        kernels = k;
        return;
      }
    }
    if (name.empty())
      problem = "this program was built for " + names_built() + ", and this processor lacks " +
                lacks + ": build it here, or with -DWEIR_COMPILED_ISAS=all";
    else if (lacks != nullptr)
      problem = "WEIR_ISA=" + std::string(name) + ": this processor lacks " + lacks +
                " (expected one that it has, or none: the best is picked)";
    else if (std::ranges::find(known, name) != std::end(known))
      problem = "WEIR_ISA=" + std::string(name) + ": this program was built for " + names_built() +
                " (expected " + names_built() + ", or a build with -DWEIR_COMPILED_ISAS=all)";
    else
      problem = "WEIR_ISA=" + std::string(name) + ": no such instruction set (expected " +
                list(known, [](std::string_view one) { return one; }) + ")";
  }
};

}  // namespace

}  // namespace weir_compiled

extern "C" weir_compiled_choice WEIR_COMPILED_SYMBOL() noexcept {
  static const weir_compiled::choice made;
  return {made.kernels, made.problem.c_str()};
}
