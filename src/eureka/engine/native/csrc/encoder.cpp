#include "encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace eureka {
namespace {

constexpr int64_t kQueries = 24;  // that attend together: few enough for their scores to stay in the cache
constexpr int64_t kRows = 96;     // that go through the wide layer of a block together, for the same reason

void fill(Buffer<float>& buffer, const float* values, int64_t count) {
  buffer.reset(count);
  std::memcpy(buffer.data(), values, count * sizeof(float));
}

}  // namespace

struct Encoder::Scratch {
  Buffer<float> wide, queries;
  Buffer<uint8_t> keys, values;
  Converted converted;
  AttentionScratch attention;
};

Encoder::Encoder(const Kernels* kernels, EncoderShape shape, Type type, const float* positions)
    : kernels_(*kernels), shape_(shape), type_(type), layers_(shape.layers) {
  if (shape.width % shape.heads || shape.width / shape.heads % kLanes || shape.width % kTile || shape.inner % kTile)
    throw std::invalid_argument("a head's width must be a multiple of 16, the others of 64");
  fill(positions_, positions, shape.positions * shape.width);
}

void Encoder::set_linear(int64_t layer, const std::string& name, const float* weight, const float* bias,
                         int64_t outputs, int64_t inner) {
  PackedLinear packed(type_, weight, outputs, inner, bias);
  if (name == "conv1") {
    conv1_ = std::move(packed);
  } else if (name == "conv2") {
    conv2_ = std::move(packed);
  } else {
    Layer& of = layers_.at(layer);
    (name == "qkv" ? of.qkv : name == "out" ? of.out : name == "fc1" ? of.fc1 : of.fc2) = std::move(packed);
  }
}

void Encoder::set_norm(int64_t layer, const std::string& name, const float* weight, const float* bias) {
  Norm& of = name == "last" ? last_ : name == "before" ? layers_.at(layer).before : layers_.at(layer).after;
  fill(of.weight, weight, shape_.width);
  fill(of.bias, bias, shape_.width);
}

void Encoder::linear(const PackedLinear& layer, const float* x, int64_t n, int64_t width, float* y, bool add,
                     Scratch& scratch) const {
  const Rows rows = scratch.converted.rows(kernels_, layer.type(), x, width, n, width, layer.inner());
  kernels_.multiply(layer.view(), rows, y, layer.outputs(), add);
}

void Encoder::norm(const Norm& of, const float* x, int64_t n, float* out) const {
  for (int64_t r = 0; r < n; ++r)
    kernels_.layer_norm(x + r * shape_.width, of.weight.data(), of.bias.data(), 1e-5f, shape_.width,
                        out + r * shape_.width);
}

void Encoder::attention(const float* qkv, int64_t n, float* mixed, Scratch& scratch) const {
  const int64_t width = shape_.width, dim = width / shape_.heads, places = round_up(n, kTile);
  const int64_t bytes = PackedKeysValues::bytes(type_, places, dim);
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  const std::vector<int64_t> lengths(kQueries, n);
  float* queries = scratch.queries.at_least(kQueries * dim);
  for (int64_t h = 0; h < shape_.heads; ++h) {
    const PackedKeysValues heard(type_, places, dim, scratch.keys.at_least(bytes), scratch.values.at_least(bytes));
    const float* head = qkv + h * dim;
    for (int64_t t = 0; t < n; ++t) heard.put(t, head + t * 3 * width + width, head + t * 3 * width + 2 * width);
    for (int64_t first = 0; first < n; first += kQueries) {
      const int64_t count = std::min(kQueries, n - first);
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(queries + r * dim, head + (first + r) * 3 * width, dim * sizeof(float));
      const float* out = attend(kernels_, heard, queries, count, lengths.data(), scale, scratch.attention);
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(mixed + (first + r) * width + h * dim, out + r * heard.padded_width(), dim * sizeof(float));
    }
  }
}

void Encoder::encode(const float* log_mel, int64_t frames, float* out) const {
  const int64_t mels = shape_.mels, width = shape_.width, n = frames / 2;
  Scratch scratch;
  Buffer<float> taps(frames * 3 * std::max(mels, width)), first((frames + 2) * width), x(n * width),
      normed(n * width), qkv(n * 3 * width), mixed(n * width);
  for (int64_t t = 0; t < frames; ++t)
    for (int64_t tap = 0; tap < 3; ++tap) {
      const int64_t source = t + tap - 1;
      for (int64_t m = 0; m < mels; ++m)
        taps.data()[(t * 3 + tap) * mels + m] = source >= 0 && source < frames ? log_mel[m * frames + source] : 0.0f;
    }
  linear(conv1_, taps.data(), frames, 3 * mels, first.data() + width, false, scratch);
  kernels_.gelu(first.data() + width, frames * width);
  std::memset(first.data() + (frames + 1) * width, 0, width * sizeof(float));
  // Three neighbouring frames from every second on lie side by side already: rows of stride 2.
  for (int64_t t = 0; t < n; ++t)
    std::memcpy(taps.data() + t * 3 * width, first.data() + 2 * t * width, 3 * width * sizeof(float));
  linear(conv2_, taps.data(), n, 3 * width, x.data(), false, scratch);
  kernels_.gelu(x.data(), n * width);
  for (int64_t i = 0; i < n * width; ++i) x.data()[i] += positions_.data()[i];
  for (const Layer& layer : layers_) {
    norm(layer.before, x.data(), n, normed.data());
    linear(layer.qkv, normed.data(), n, width, qkv.data(), false, scratch);
    attention(qkv.data(), n, mixed.data(), scratch);
    linear(layer.out, mixed.data(), n, width, x.data(), true, scratch);
    norm(layer.after, x.data(), n, normed.data());
    float* wide = scratch.wide.at_least(kRows * shape_.inner);
    for (int64_t r = 0; r < n; r += kRows) {
      const int64_t count = std::min(kRows, n - r);
      linear(layer.fc1, normed.data() + r * width, count, width, wide, false, scratch);
      kernels_.gelu(wide, count * shape_.inner);
      linear(layer.fc2, wide, count, shape_.inner, x.data() + r * width, true, scratch);
    }
  }
  norm(last_, x.data(), n, out);
}

}  // namespace eureka
