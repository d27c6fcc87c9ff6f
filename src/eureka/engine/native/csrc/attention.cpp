#include "attention.h"

#include <algorithm>

namespace eureka {

void PackedKeysValues::put(int64_t place, const float* key, const float* value) const {
  const int64_t group = group_of(type_);
  for (int64_t i = 0; i < width_; ++i) {
    put_packed(type_, keys_, width_ / group * kGroupBytes, place, i, key[i]);
    put_packed(type_, values_, places_ / group * kGroupBytes, i, place, value[i]);
  }
}

Matrix PackedKeysValues::keys(int64_t num_places) const {
  const int64_t groups = width_ / group_of(type_);
  return {type_, keys_, groups, groups * kGroupBytes, round_up(num_places, kTile)};
}

Matrix PackedKeysValues::values(int64_t num_places) const {
  const int64_t group = group_of(type_);
  return {type_, values_, round_up(num_places, group) / group, places_ / group * kGroupBytes, padded_width()};
}

const float* attend(const Kernels& kernels, const PackedKeysValues& cache, const float* queries, int64_t count,
                    const int64_t* lengths, float scale, AttentionScratch& scratch) {
  const int64_t width = cache.width(), longest = *std::max_element(lengths, lengths + count);
  const int64_t places = round_up(longest, kTile);
  float* scores = scratch.scores.at_least(count * places);
  float* mixed = scratch.mixed.at_least(count * cache.padded_width());
  const Rows rows = scratch.queries.rows(kernels, cache.type(), queries, width, count, width, width);
  kernels.multiply(cache.keys(longest), rows, scores, places, false);
  for (int64_t r = 0; r < count; ++r) kernels.softmax(scores + r * places, lengths[r], places, scale);
  const Rows weights = scratch.weights.rows(kernels, cache.type(), scores, places, count, places, places);
  kernels.multiply(cache.values(longest), weights, mixed, cache.padded_width(), false);
  return mixed;
}

}  // namespace eureka
