// What the arithmetic looks like to the rest: packed matrices, rows, and one table of functions for each
// instruction set. Everything is laid out for one inner loop: 16 outputs side by side in 64 bytes, and for
// each of them the next 4 bytes of its inner dimension.
#pragma once
#include <cstdint>

namespace eureka {

enum class Type : int { f32 = 0, bf16 = 1, i8 = 2 };

constexpr int64_t kLanes = 16;       // outputs of a panel
constexpr int64_t kGroupBytes = 64;  // one group of the inner dimension for all lanes of a panel
constexpr int64_t kTile = 64;        // outputs that are computed together; matrices are padded to it
constexpr int64_t kBlock = 32;       // neighbours that share a scale in int8

// Elements of the inner dimension in one group.
constexpr int64_t group_of(Type type) { return type == Type::f32 ? 1 : type == Type::bf16 ? 2 : 4; }
constexpr int64_t bytes_of(Type type) { return 4 / group_of(type); }
constexpr int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Outputs x inner, in panels of 16 outputs.
struct Matrix {
  Type type;
  const uint8_t* data;
  int64_t groups;        // of the inner dimension
  int64_t panel_stride;  // bytes from one panel to the next
  int64_t outputs;       // a multiple of kTile
  const float* bias = nullptr;     // (outputs,)
  const float* scales = nullptr;   // int8: (panels, blocks, 16)
  const int32_t* sums = nullptr;   // int8: (panels, blocks, 16), sums of the weights of a block
};

// Rows of activations in a matrix's own type; int8 has a scale for each row and block.
struct Rows {
  const uint8_t* data;
  int64_t count;
  int64_t stride;  // bytes
  const float* scales = nullptr;
};

struct Kernels {
  const char* name;
  // y (count, outputs) = rows times matrix, plus the bias, plus what y holds already where `add`.
  void (*multiply)(const Matrix&, const Rows&, float* y, int64_t y_stride, bool add);
  // Rows (count, width) to the type, zeros behind them up to `padded`.
  void (*convert)(Type, const float* x, int64_t x_stride, int64_t count, int64_t width, int64_t padded,
                  uint8_t* out, int64_t out_stride, float* scales);
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t width, float* out);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int64_t width, float* out);
  // In place: softmax of the first `length` of scale * x; zeros from there to `padded`.
  void (*softmax)(float* x, int64_t length, int64_t padded, float scale);
  // out = silu(gate) * up.
  void (*gated_silu)(const float* gate, const float* up, int64_t width, float* out);
  void (*gelu)(float* x, int64_t width);  // in place, the exact one
};

// Null where the compiler had no such instruction set.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

// The best that this processor runs. `wanted` names one of them, or is empty; null if it cannot run here.
const Kernels* choose_kernels(const char* wanted);

}  // namespace eureka
