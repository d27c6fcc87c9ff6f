// Attention over keys and values that are packed like weights, so that both of its products are the kernels'.
#pragma once
#include "packed.h"

namespace eureka {

// Keys of one head: outputs are places, the inner dimension is the head's width. Values: the other way round.
class PackedKeysValues {
 public:
  // `places` is a multiple of kTile, `width` of kLanes; keys and values have `bytes` each.
  PackedKeysValues(Type type, int64_t places, int64_t width, uint8_t* keys, uint8_t* values)
      : type_(type), places_(places), width_(width), keys_(keys), values_(values) {}
  static int64_t bytes(Type type, int64_t places, int64_t width) {
    return places * round_up(width, kTile) * bytes_of(type);
  }

  void put(int64_t place, const float* key, const float* value) const;
  Matrix keys(int64_t num_places) const;    // padded to whole tiles
  Matrix values(int64_t num_places) const;  // padded to whole groups
  Type type() const { return type_; }
  int64_t width() const { return width_; }
  int64_t padded_width() const { return round_up(width_, kTile); }

 private:
  Type type_;
  int64_t places_, width_;
  uint8_t *keys_, *values_;
};

struct AttentionScratch {
  Buffer<float> scores, mixed;
  Converted queries, weights;
};

// Mixed values (count, padded_width) of queries (count, width) that see the first lengths[r] places.
const float* attend(const Kernels& kernels, const PackedKeysValues& cache, const float* queries, int64_t count,
                    const int64_t* lengths, float scale, AttentionScratch& scratch);

}  // namespace eureka
