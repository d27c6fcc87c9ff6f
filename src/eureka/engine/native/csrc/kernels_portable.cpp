// For any processor; the compiler makes NEON, SSE or plain code of the vector types.
#include "kernels.h"

#define EUREKA_NAME "portable"
#define EUREKA_VECTOR_BYTES 16
#define EUREKA_ROWS 2
#define EUREKA_VECTORS 4

namespace eureka {
namespace portable {
#include "kernels_body.inc"
}
const Kernels* portable_kernels() { return &portable::kTable; }
}  // namespace eureka
