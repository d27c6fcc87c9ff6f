// Which instruction set the processor has, asked once at run time.
#include <cstring>

#include "kernels.h"

namespace eureka {
namespace {

const Kernels* runnable(const Kernels* kernels) {
  if (!kernels || kernels == portable_kernels()) return kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (kernels == avx2_kernels()) return has_avx2 ? kernels : nullptr;
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  return has_avx512 ? kernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace

const Kernels* choose_kernels(const char* wanted) {
  const Kernels* best_first[] = {avx512_kernels(), avx2_kernels(), portable_kernels()};
  for (const Kernels* kernels : best_first) {
    const bool is_wanted = kernels && (!*wanted || std::strcmp(wanted, kernels->name) == 0);
    if (is_wanted && runnable(kernels)) return kernels;
  }
  return nullptr;
}

}  // namespace eureka
