// For x86 with AVX-512 and its dot products of int8 (VNNI) and bfloat16.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define EUREKA_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma"
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target(EUREKA_TARGET))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,prefer-vector-width=512")
#endif

#define EUREKA_NAME "avx512"
#define EUREKA_VECTOR_BYTES 64
#define EUREKA_ROWS 6
#define EUREKA_VECTORS 4
#define EUREKA_HAS_BF16
#define EUREKA_HAS_VNNI

namespace eureka {
namespace avx512 {
#include "kernels_body.inc"
}
}  // namespace eureka

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
namespace eureka {
const Kernels* avx512_kernels() { return &avx512::kTable; }
}  // namespace eureka
#else
namespace eureka {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace eureka
#endif
