// Weights packed for the kernels, and buffers aligned to their vectors.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "kernels.h"

namespace eureka {

// Memory of `count` elements at a multiple of 64 bytes; pages are taken as they are written.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) { reset(count); }

  // Zeroed anew.
  void reset(int64_t count) {
    count_ = count;
    memory_.reset(static_cast<T*>(std::calloc(1, count * sizeof(T) + 64)));
    if (!memory_) throw std::bad_alloc();
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    data_ = reinterpret_cast<T*>(round_up(static_cast<int64_t>(address), 64));
  }
  // At least so large; what it held is lost where it grows.
  T* at_least(int64_t count) {
    if (count > count_) reset(count);
    return data_;
  }
  T* data() const { return data_; }
  int64_t size() const { return count_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  T* data_ = nullptr;
  int64_t count_ = 0;
};

// A linear layer.
class PackedLinear {
 public:
  PackedLinear() = default;
  // weight (outputs, inner) as torch has it; bias (outputs,) or null.
  PackedLinear(Type type, const float* weight, int64_t outputs, int64_t inner, const float* bias);

  Matrix view() const;
  Type type() const { return type_; }
  int64_t inner() const { return inner_; }    // padded to whole groups (int8: blocks)
  int64_t outputs() const { return outputs_; }  // padded to whole tiles
  bool is_set() const { return outputs_ > 0; }

 private:
  Type type_ = Type::f32;
  int64_t inner_ = 0, outputs_ = 0;
  Buffer<uint8_t> data_;
  Buffer<float> bias_, scales_;
  Buffer<int32_t> sums_;
};

// Rows of activations converted to what a layer takes, with the memory that needs.
class Converted {
 public:
  Rows rows(const Kernels& kernels, Type type, const float* x, int64_t x_stride, int64_t count, int64_t width,
            int64_t padded);

 private:
  Buffer<uint8_t> data_;
  Buffer<float> scales_;
};

uint16_t bf16_of(float x);  // to nearest, ties to even

// One value into place (output, inner) of a packed matrix of float32 or bfloat16.
void put_packed(Type type, uint8_t* data, int64_t panel_stride, int64_t output, int64_t inner, float value);

}  // namespace eureka
