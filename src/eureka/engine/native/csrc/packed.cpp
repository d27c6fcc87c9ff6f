#include "packed.h"

#include <cmath>
#include <cstring>

namespace eureka {

uint16_t bf16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void put_packed(Type type, uint8_t* data, int64_t panel_stride, int64_t output, int64_t inner, float value) {
  const int64_t group = group_of(type);
  uint8_t* place = data + output / kLanes * panel_stride + inner / group * kGroupBytes + output % kLanes * 4 +
                   inner % group * bytes_of(type);
  if (type == Type::f32) {
    std::memcpy(place, &value, 4);
  } else {
    const uint16_t half = bf16_of(value);
    std::memcpy(place, &half, 2);
  }
}

PackedLinear::PackedLinear(Type type, const float* weight, int64_t outputs, int64_t inner, const float* bias)
    : type_(type),
      inner_(round_up(inner, type == Type::i8 ? kBlock : group_of(type))),
      outputs_(round_up(outputs, kTile)),
      data_(outputs_ * inner_ * bytes_of(type)) {
  if (bias) {
    bias_.reset(outputs_);
    std::memcpy(bias_.data(), bias, outputs * sizeof(float));
  }
  const int64_t panel_stride = inner_ / group_of(type) * kGroupBytes;
  if (type != Type::i8) {
    for (int64_t o = 0; o < outputs; ++o)
      for (int64_t i = 0; i < inner; ++i)
        put_packed(type, data_.data(), panel_stride, o, i, weight[o * inner + i]);
    return;
  }
  const int64_t blocks = inner_ / kBlock;
  scales_.reset(outputs_ * blocks);
  sums_.reset(outputs_ * blocks);
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t b = 0; b < blocks; ++b) {
      const float* row = weight + o * inner + b * kBlock;
      const int64_t length = std::min(kBlock, inner - b * kBlock);
      float largest = 0;
      for (int64_t i = 0; i < length; ++i) largest = std::max(largest, std::fabs(row[i]));
      const int64_t place = (o / kLanes * blocks + b) * kLanes + o % kLanes;
      scales_.data()[place] = largest / 127.0f;
      for (int64_t i = 0; i < length; ++i) {
        const auto level = largest > 0 ? static_cast<int8_t>(std::lrint(row[i] * (127.0f / largest))) : int8_t{0};
        const int64_t column = b * kBlock + i;
        data_.data()[o / kLanes * panel_stride + column / 4 * kGroupBytes + o % kLanes * 4 + column % 4] =
            static_cast<uint8_t>(level);
        sums_.data()[place] += level;
      }
    }
}

Matrix PackedLinear::view() const {
  const int64_t groups = inner_ / group_of(type_);
  return {type_,        data_.data(),   groups,       groups * kGroupBytes,
          outputs_,     bias_.data(),   scales_.data(), sums_.data()};
}

Rows Converted::rows(const Kernels& kernels, Type type, const float* x, int64_t x_stride, int64_t count,
                     int64_t width, int64_t padded) {
  if (type == Type::f32 && width == padded)
    return {reinterpret_cast<const uint8_t*>(x), count, x_stride * 4};
  const int64_t stride = padded * bytes_of(type);
  uint8_t* data = data_.at_least(count * stride);
  float* scales = type == Type::i8 ? scales_.at_least(count * (padded / kBlock)) : nullptr;
  kernels.convert(type, x, x_stride, count, width, padded, data, stride, scales);
  return {data, count, stride, scales};
}

}  // namespace eureka
