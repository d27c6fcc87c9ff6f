// For x86 with AVX2 and FMA.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define EUREKA_NAME "avx2"
#define EUREKA_VECTOR_BYTES 32
#define EUREKA_ROWS 3
#define EUREKA_VECTORS 4

namespace eureka {
namespace avx2 {
#include "kernels_body.inc"
}
}  // namespace eureka

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
namespace eureka {
const Kernels* avx2_kernels() { return &avx2::kTable; }
}  // namespace eureka
#else
namespace eureka {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace eureka
#endif
