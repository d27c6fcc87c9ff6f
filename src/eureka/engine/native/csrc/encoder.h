// Whisper's encoder: two convolutions, a position table, pre-norm blocks.
#pragma once
#include <string>
#include <vector>

#include "attention.h"

namespace eureka {

struct EncoderShape {
  int64_t mels, width, layers, heads, inner, positions;
};

class Encoder {
 public:
  Encoder(const Kernels* kernels, EncoderShape shape, Type type, const float* positions);

  // conv1, conv2 (outputs, 3 * inputs: tap after tap) and, a layer, qkv, out, fc1, fc2; each with a bias.
  void set_linear(int64_t layer, const std::string& name, const float* weight, const float* bias, int64_t outputs,
                  int64_t inner);
  // before and after a layer's attention, "last" behind all: weight and bias (width,).
  void set_norm(int64_t layer, const std::string& name, const float* weight, const float* bias);

  // log_mel (mels, frames), frames even, to (frames / 2, width). Several threads may call it at once.
  void encode(const float* log_mel, int64_t frames, float* out) const;

  const EncoderShape& shape() const { return shape_; }

 private:
  struct Norm {
    Buffer<float> weight, bias;
  };
  struct Layer {
    PackedLinear qkv, out, fc1, fc2;
    Norm before, after;
  };
  struct Scratch;

  void linear(const PackedLinear& layer, const float* x, int64_t n, int64_t width, float* y, bool add,
              Scratch& scratch) const;
  void attention(const float* qkv, int64_t n, float* mixed, Scratch& scratch) const;
  void norm(const Norm& of, const float* x, int64_t n, float* out) const;

  const Kernels& kernels_;
  EncoderShape shape_;
  Type type_;
  PackedLinear conv1_, conv2_;
  std::vector<Layer> layers_;
  Norm last_;
  Buffer<float> positions_;
};

}  // namespace eureka
