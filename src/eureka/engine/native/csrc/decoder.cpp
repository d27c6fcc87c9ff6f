#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace eureka {
namespace {

constexpr int64_t kQueryTokens = 6;  // of a prompt that attend together: whole blocks of rows for the kernels

void fill(Buffer<float>& buffer, const float* values, int64_t count) {
  buffer.reset(count);
  std::memcpy(buffer.data(), values, count * sizeof(float));
}

}  // namespace

Decoder::Decoder(const Kernels* kernels, DecoderShape shape, Type type, Type cache_type, const float* cos,
                 const float* sin)
    : kernels_(*kernels),
      shape_(shape),
      type_(type),
      cache_type_(cache_type),
      places_(round_up(shape.context, kTile)),
      layers_(shape.layers) {
  if (shape.head_dim % kLanes || shape.width % kLanes || shape.inner % kLanes || shape.heads % shape.kv_heads)
    throw std::invalid_argument("widths must be multiples of 16, heads of kv_heads");
  fill(cos_, cos, shape.context * shape.head_dim / 2);
  fill(sin_, sin, shape.context * shape.head_dim / 2);
  const int64_t one = PackedKeysValues::bytes(cache_type, places_, shape.head_dim);
  cache_.reset(2 * one * shape.kv_heads * shape.slots * shape.layers);
}

void Decoder::set_linear(int64_t layer, const std::string& name, const float* weight, int64_t outputs,
                         int64_t inner) {
  Layer& of = layers_.at(layer);
  // Queries, keys and values are not made int8: what is cached is read by all to come.
  const Type type = name == "qkv" ? cache_type_ : type_;
  PackedLinear& place = name == "qkv" ? of.qkv : name == "o" ? of.o : name == "gate_up" ? of.gate_up : of.down;
  place = PackedLinear(type, weight, outputs, inner, nullptr);
}

void Decoder::set_norm(int64_t layer, const std::string& name, const float* weight, int64_t width) {
  Layer& of = layers_.at(layer);
  fill(name == "before"    ? of.before
       : name == "after"   ? of.after
       : name == "queries" ? of.queries
                           : of.keys,
       weight, width);
}

void Decoder::set_head(const float* weight, const float* last_norm) {
  head_ = PackedLinear(type_, weight, shape_.vocabulary, shape_.width, nullptr);
  fill(last_norm_, last_norm, shape_.width);
}

void Decoder::set_table(const float* table) {
  const int64_t count = shape_.vocabulary * shape_.width;
  table_.reset(count * bytes_of(cache_type_));
  if (cache_type_ == Type::f32) {
    std::memcpy(table_.data(), table, count * sizeof(float));
  } else {
    auto* halves = reinterpret_cast<uint16_t*>(table_.data());
    for (int64_t i = 0; i < count; ++i) halves[i] = bf16_of(table[i]);
  }
}

void Decoder::embed(int64_t token, float* out) const {
  const uint8_t* row = table_.data() + token * shape_.width * bytes_of(cache_type_);
  if (cache_type_ == Type::f32) {
    std::memcpy(out, row, shape_.width * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < shape_.width; ++i) {
    const uint32_t bits = static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(row)[i]) << 16;
    std::memcpy(out + i, &bits, sizeof(float));
  }
}

void Decoder::linear(const PackedLinear& layer, const float* x, int64_t n, int64_t width, float* y, bool add) {
  const Rows rows = converted_.rows(kernels_, layer.type(), x, width, n, width, layer.inner());
  kernels_.multiply(layer.view(), rows, y, layer.outputs(), add);
}

PackedKeysValues Decoder::cache(int64_t layer, int64_t slot, int64_t kv_head) const {
  const int64_t one = PackedKeysValues::bytes(cache_type_, places_, shape_.head_dim);
  uint8_t* keys = cache_.data() + 2 * one * ((layer * shape_.slots + slot) * shape_.kv_heads + kv_head);
  return {cache_type_, places_, shape_.head_dim, keys, keys + one};
}

void Decoder::rotate(float* head, const float* norm, int64_t place) const {
  const int64_t half = shape_.head_dim / 2;
  const float *cos = cos_.data() + place * half, *sin = sin_.data() + place * half;
  kernels_.rms_norm(head, norm, shape_.eps, shape_.head_dim, head);
  for (int64_t i = 0; i < half; ++i) {
    const float first = head[i], second = head[i + half];
    head[i] = first * cos[i] - second * sin[i];
    head[i + half] = second * cos[i] + first * sin[i];
  }
}

void Decoder::attention(int64_t layer, int64_t n, const int64_t* slots, const int64_t* places) {
  const Layer& of = layers_[layer];
  const int64_t dim = shape_.head_dim, shared = shape_.heads / shape_.kv_heads, stride = of.qkv.outputs();
  const int64_t key_at = shape_.heads * dim, value_at = key_at + shape_.kv_heads * dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int64_t r = 0; r < n; ++r) {
    float* row = qkv_.data() + r * stride;
    for (int64_t h = 0; h < shape_.heads; ++h) rotate(row + h * dim, of.queries.data(), places[r]);
    for (int64_t k = 0; k < shape_.kv_heads; ++k) {
      rotate(row + key_at + k * dim, of.keys.data(), places[r]);
      cache(layer, slots[r], k).put(places[r], row + key_at + k * dim, row + value_at + k * dim);
    }
  }
  std::vector<int64_t> lengths(kQueryTokens * shared);
  float* queries = queries_.at_least(kQueryTokens * shared * dim);
  for (int64_t first = 0; first < n;) {
    int64_t end = first + 1;
    while (end < n && end - first < kQueryTokens && slots[end] == slots[first]) ++end;
    for (int64_t k = 0; k < shape_.kv_heads; ++k) {
      for (int64_t r = first; r < end; ++r) {
        const int64_t place = (r - first) * shared;
        std::memcpy(queries + place * dim, qkv_.data() + r * stride + k * shared * dim, shared * dim * sizeof(float));
        std::fill_n(lengths.begin() + place, shared, places[r] + 1);
      }
      const int64_t count = (end - first) * shared;
      const float* mixed =
          attend(kernels_, cache(layer, slots[first], k), queries, count, lengths.data(), scale, scratch_);
      for (int64_t r = first; r < end; ++r)
        for (int64_t h = 0; h < shared; ++h)
          std::memcpy(mixed_.data() + (r * shape_.heads + k * shared + h) * dim,
                      mixed + ((r - first) * shared + h) * round_up(dim, kTile), dim * sizeof(float));
    }
    first = end;
  }
}

void Decoder::run(int64_t n, const float* embeds, const int64_t* slots, const int64_t* places, int64_t num_wanted,
                  const int64_t* wanted, float* logits) {
  const int64_t width = shape_.width, padded = round_up(width, kTile), inner = shape_.inner;
  float* x = x_.at_least(n * padded);
  float* normed = normed_.at_least(n * width);
  mixed_.at_least(n * shape_.heads * shape_.head_dim);
  for (int64_t r = 0; r < n; ++r) std::memcpy(x + r * padded, embeds + r * width, width * sizeof(float));
  for (int64_t l = 0; l < shape_.layers; ++l) {
    const Layer& layer = layers_[l];
    for (int64_t r = 0; r < n; ++r)
      kernels_.rms_norm(x + r * padded, layer.before.data(), shape_.eps, width, normed + r * width);
    linear(layer.qkv, normed, n, width, qkv_.at_least(n * layer.qkv.outputs()), false);
    attention(l, n, slots, places);
    linear(layer.o, mixed_.data(), n, shape_.heads * shape_.head_dim, x, true);
    for (int64_t r = 0; r < n; ++r)
      kernels_.rms_norm(x + r * padded, layer.after.data(), shape_.eps, width, normed + r * width);
    const int64_t both = layer.gate_up.outputs();
    float* gate_up = gate_up_.at_least(n * both);
    linear(layer.gate_up, normed, n, width, gate_up, false);
    float* product = inner_.at_least(n * inner);
    for (int64_t r = 0; r < n; ++r)
      kernels_.gated_silu(gate_up + r * both, gate_up + r * both + inner, inner, product + r * inner);
    linear(layer.down, product, n, inner, x, true);
  }
  if (!num_wanted) return;
  for (int64_t i = 0; i < num_wanted; ++i)
    kernels_.rms_norm(x + wanted[i] * padded, last_norm_.data(), shape_.eps, width, normed + i * width);
  float* padded_logits = logits_.at_least(num_wanted * head_.outputs());
  linear(head_, normed, num_wanted, width, padded_logits, false);
  for (int64_t i = 0; i < num_wanted; ++i)
    std::memcpy(logits + i * shape_.vocabulary, padded_logits + i * head_.outputs(),
                shape_.vocabulary * sizeof(float));
}

// The rules and the order of the sampler: temperature, the k largest with ties, softmax in float64, and the first
// id whose cumulative sum is above the draw. -1 where a logit is no number.
int64_t Decoder::pick(const float* logits, const Choice& choice, double draw) {
  int64_t best = 0;
  for (int64_t i = 0; i < shape_.vocabulary; ++i) {
    if (std::isnan(logits[i])) return -1;
    if (logits[i] > logits[best]) best = i;
  }
  if (!std::isfinite(logits[best])) return -1;
  if (choice.temperature <= 0) return best;
  ranked_.clear();
  for (int64_t i = 0; i < shape_.vocabulary; ++i) ranked_.emplace_back(logits[i] / choice.temperature, i);
  if (choice.top_k > 0 && choice.top_k < shape_.vocabulary) {
    auto larger = [](const auto& a, const auto& b) { return a.first > b.first; };
    auto sorted = ranked_;
    std::nth_element(sorted.begin(), sorted.begin() + choice.top_k - 1, sorted.end(), larger);
    const float smallest = sorted[choice.top_k - 1].first;
    ranked_.erase(std::remove_if(ranked_.begin(), ranked_.end(), [&](const auto& a) { return a.first < smallest; }),
                  ranked_.end());
  }
  const double top = logits[best] / choice.temperature;
  std::vector<double> sums;
  double total = 0;
  for (const auto& [score, id] : ranked_) sums.push_back(total += std::exp(static_cast<double>(score) - top));
  const double wanted = draw * total;
  for (size_t i = 0; i < sums.size(); ++i)
    if (sums[i] > wanted) return ranked_[i].second;
  return ranked_.back().second;
}

void Decoder::generate(int64_t n, const int64_t* slots, const int64_t* tokens, const int64_t* places,
                       int64_t steps, int64_t end, const Choice* choices, const double* draws, int64_t* ids,
                       int64_t* counts) {
  std::vector<int64_t> live(n), slot(n), place(n), wanted(n), last(tokens, tokens + n);
  std::vector<float> embeds(n * shape_.width), logits(n * shape_.vocabulary);
  for (int64_t r = 0; r < n; ++r) live[r] = r, counts[r] = 0;
  for (int64_t step = 0; step < steps && !live.empty(); ++step) {
    const auto count = static_cast<int64_t>(live.size());
    for (int64_t i = 0; i < count; ++i) {
      slot[i] = slots[live[i]], place[i] = places[live[i]] + step, wanted[i] = i;
      embed(last[live[i]], &embeds[i * shape_.width]);
    }
    run(count, embeds.data(), slot.data(), place.data(), count, wanted.data(), logits.data());
    std::vector<int64_t> going;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t r = live[i];
      const int64_t id = pick(&logits[i * shape_.vocabulary], choices[r], draws[r * steps + step]);
      if (id < 0) continue;
      ids[r * steps + counts[r]++] = last[r] = id;
      if (id != end) going.push_back(r);
    }
    live = going;
  }
}

int64_t Decoder::saved_bytes(int64_t tokens) const {
  int64_t total = 0;
  for_each_part(0, tokens, [&](uint8_t*, int64_t bytes) { total += bytes; });
  return total;
}

void Decoder::save(int64_t slot, int64_t tokens, uint8_t* out) const {
  for_each_part(slot, tokens, [&](uint8_t* part, int64_t bytes) {
    std::memcpy(out, part, bytes);
    out += bytes;
  });
}

void Decoder::load(int64_t slot, int64_t tokens, const uint8_t* in) {
  for_each_part(slot, tokens, [&](uint8_t* part, int64_t bytes) {
    std::memcpy(part, in, bytes);
    in += bytes;
  });
}

// The pieces of memory that hold the first tokens of a slot: whole panels of keys, groups of values a panel.
template <class Copy>
void Decoder::for_each_part(int64_t slot, int64_t tokens, Copy copy) const {
  const int64_t one = PackedKeysValues::bytes(cache_type_, places_, shape_.head_dim);
  const int64_t group = group_of(cache_type_), value_stride = places_ / group * kGroupBytes;
  const int64_t key_bytes = round_up(tokens, kLanes) * shape_.head_dim * bytes_of(cache_type_);
  for (int64_t l = 0; l < shape_.layers; ++l)
    for (int64_t k = 0; k < shape_.kv_heads; ++k) {
      uint8_t* keys = cache_.data() + 2 * one * ((l * shape_.slots + slot) * shape_.kv_heads + k);
      copy(keys, key_bytes);
      for (int64_t panel = 0; panel < round_up(shape_.head_dim, kTile) / kLanes; ++panel)
        copy(keys + one + panel * value_stride, round_up(tokens, group) / group * kGroupBytes);
    }
}

}  // namespace eureka
