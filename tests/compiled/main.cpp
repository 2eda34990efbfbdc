// Two objects for different instruction sets in one program: each runs what it was compiled to, and
// both compute the same.
#include <cstdio>
#include <string>

std::string run_sse2();
std::string run_avx2();

int main() {
  const std::string sse2 = run_sse2();
  if (!sse2.starts_with("sse2 ")) return std::printf("not SSE2: %s\n", sse2.c_str()), 1;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  const std::string avx2 = run_avx2();
  if (!avx2.starts_with("avx2 ")) return std::printf("not AVX2: %s\n", avx2.c_str()), 1;
  if (sse2.substr(4) != avx2.substr(4))
    return std::printf("%s\n%s\n", sse2.c_str(), avx2.c_str()), 1;
  return 0;
}
