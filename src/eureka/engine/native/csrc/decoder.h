// The language model: embeddings and caches in, logits out, several steps at a time. Qwen3: normed queries and
// keys, rotation, grouped queries, gated feed-forward.
#pragma once
#include <string>
#include <vector>

#include "attention.h"

namespace eureka {

struct DecoderShape {
  int64_t width, layers, heads, kv_heads, head_dim, inner, vocabulary, context, slots;
  float eps;
};

// How the next token of a row is chosen: the largest, or with temperature one of the `top_k` largest (0: of all).
struct Choice {
  float temperature = 0;
  int64_t top_k = 0;
};

class Decoder {
 public:
  // Weights are kept in `type`, those of attention's three projections in `cache_type` with keys and values:
  // float32 or bfloat16. cos and sin are (context, head_dim / 2).
  Decoder(const Kernels* kernels, DecoderShape shape, Type type, Type cache_type, const float* cos, const float* sin);

  // Layer weights (outputs, inner): qkv, o, gate_up, down. Norms (width,): before, after, queries, keys.
  void set_linear(int64_t layer, const std::string& name, const float* weight, int64_t outputs, int64_t inner);
  void set_norm(int64_t layer, const std::string& name, const float* weight, int64_t width);
  void set_head(const float* weight, const float* last_norm);
  void set_table(const float* table);  // (vocabulary, width), kept as keys and values are

  // Run n rows: embeddings (n, width), written at places[r] of slots[r]. Rows of one slot stand together and in
  // order. Logits (vocabulary,) of the rows in `wanted` go to `logits`.
  void run(int64_t n, const float* embeds, const int64_t* slots, const int64_t* places, int64_t num_wanted,
           const int64_t* wanted, float* logits);
  // Up to `steps` more tokens for each of n slots after `tokens`; a row ends with `end`. `draws` (n, steps) in
  // [0, 1). Writes ids (n, steps), and how many each row has to `counts`; a row with a logit that is no number
  // stops before that step.
  void generate(int64_t n, const int64_t* slots, const int64_t* tokens, const int64_t* places, int64_t steps,
                int64_t end, const Choice* choices, const double* draws, int64_t* ids, int64_t* counts);

  // Bytes of the first `tokens` places of a slot, and copying them out, in and over.
  int64_t saved_bytes(int64_t tokens) const;
  void save(int64_t slot, int64_t tokens, uint8_t* out) const;
  void load(int64_t slot, int64_t tokens, const uint8_t* in);

  const DecoderShape& shape() const { return shape_; }

 private:
  struct Layer {
    PackedLinear qkv, o, gate_up, down;
    Buffer<float> before, after, queries, keys;
  };

  void linear(const PackedLinear& layer, const float* x, int64_t n, int64_t width, float* y, bool add);
  void embed(int64_t token, float* out) const;
  void attention(int64_t layer, int64_t n, const int64_t* slots, const int64_t* places);
  void rotate(float* head, const float* norm, int64_t place) const;
  PackedKeysValues cache(int64_t layer, int64_t slot, int64_t kv_head) const;
  template <class Copy>
  void for_each_part(int64_t slot, int64_t tokens, Copy copy) const;
  int64_t pick(const float* logits, const Choice& choice, double draw);

  const Kernels& kernels_;
  DecoderShape shape_;
  Type type_, cache_type_;
  int64_t places_;  // of a slot, whole tiles
  std::vector<Layer> layers_;
  PackedLinear head_;
  Buffer<float> last_norm_, cos_, sin_;
  Buffer<uint8_t> table_, cache_;
  Buffer<float> x_, normed_, qkv_, mixed_, gate_up_, inner_, logits_, queries_;
  Converted converted_;
  AttentionScratch scratch_;
  std::vector<std::pair<float, int64_t>> ranked_;
};

}  // namespace eureka
