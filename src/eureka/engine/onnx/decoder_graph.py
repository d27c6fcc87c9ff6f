"""The language model as one graph: embeddings and a KV cache in, logits of chosen rows out.

The same graph prefills and decodes. Keys and values are written in place behind what each row holds. Source:
eureka-audio section 3 (Qwen3: normed queries and keys, rotation, grouped queries, gated feed-forward).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from eureka.engine.onnx.graph_builder import CONTRIB, GraphBuilder
from eureka.engine.tables import rotary_tables
from eureka.model.config import DecoderConfig

Arrays = Mapping[str, NDArray[np.float32]]


def build_decoder(graph: GraphBuilder, config: DecoderConfig, weights: Arrays, context_tokens: int) -> None:
    """Write the graph.

    Inputs: `inputs_embeds` (B, L, W); `last_places` (B,) int32, the place of each row's last new token;
    `num_keys` () int32, the longest row with its new tokens; `logit_rows` (N,) int64 into the B * L rows;
    `keys_i` and `values_i` (B, K, C, P) of each layer. Outputs: `logits` (N, V), and `new_keys_i` and
    `new_values_i`, which are to be bound to the memory of the caches.
    """
    _DecoderWriter(graph, config, weights, context_tokens).write()


class _DecoderWriter:
    def __init__(
        self, graph: GraphBuilder, config: DecoderConfig, weights: Arrays, context_tokens: int
    ) -> None:
        self._graph, self._config, self._weights = graph, config, weights
        tables = rotary_tables(context_tokens, config.head_dim, config.rope_theta)
        self._cos, self._sin = (graph.weight(table) for table in tables)

    def write(self) -> None:
        graph, config = self._graph, self._config
        x = graph.input("inputs_embeds", np.float32, ("B", "L", config.hidden_size))
        graph.input("last_places", np.int32, ("B",))
        graph.input("num_keys", np.int32, ())
        rows = graph.input("logit_rows", np.int64, ("N",))
        normed = graph.rms_norm(x, self._first_norm(0), config.rms_norm_eps)
        for layer in range(config.num_hidden_layers):
            x, normed = self._layer(layer, x, normed)
        flat = graph.reshape(normed, -1, config.hidden_size)
        head = "lm_head.weight" if "lm_head.weight" in self._weights else "model.embed_tokens.weight"
        logits = graph.linear(graph.op("Gather", flat, rows, axis=0), self._weights[head])
        graph.output("logits", logits, np.float32, ("N", config.vocab_size))

    def _layer(self, layer: int, x: str, normed: str) -> tuple[str, str]:
        """The block's output, and that output under the norm of what comes next."""
        graph, of = self._graph, self._of(layer)
        attended = graph.linear(self._attend(layer, normed), of("self_attn.o_proj"))
        normed, x = self._add_and_norm(attended, x, of("post_attention_layernorm"))
        joined = graph.linear(normed, np.concatenate([of("mlp.gate_proj"), of("mlp.up_proj")]))
        gate, up = graph.split(joined, [self._config.intermediate_size] * 2)
        down = graph.linear(graph.op("Mul", graph.silu(gate), up), of("mlp.down_proj"))
        normed, x = self._add_and_norm(down, x, self._first_norm(layer + 1))
        return x, normed

    def _attend(self, layer: int, normed: str) -> str:
        graph, config, of = self._graph, self._config, self._of(layer)
        names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        # In float32 whatever the numerics: int8 wins nothing here, and what is cached is read by all to come.
        joined = graph.linear(normed, np.concatenate([of(name) for name in names]), may_be_int8=False)
        kv_width = config.num_key_value_heads * config.head_dim
        queries, keys, values = graph.split(
            joined, [config.num_attention_heads * config.head_dim, kv_width, kv_width]
        )
        queries = self._norm_heads(queries, of("self_attn.q_norm"))
        keys = self._norm_heads(keys, of("self_attn.k_norm"))
        cache = [self._cache_input(f"{kind}_{layer}") for kind in ("keys", "values")]
        new = [self._cache_output(f"new_{kind}_{layer}") for kind in ("keys", "values")]
        mixed = f"mixed_{layer}"
        graph.named_op(
            "GroupQueryAttention",
            [queries, keys, values, *cache, "last_places", "num_keys", self._cos, self._sin],
            [mixed, *new],
            domain=CONTRIB,
            num_heads=config.num_attention_heads,
            kv_num_heads=config.num_key_value_heads,
            scale=config.head_dim**-0.5,
            do_rotary=1,
        )
        return mixed

    def _norm_heads(self, x: str, weight: NDArray[np.float32]) -> str:
        """Norm each head's P values of x (B, L, H * P)."""
        graph, head_dim = self._graph, self._config.head_dim
        heads = graph.reshape(x, 0, 0, -1, head_dim)
        normed = graph.rms_norm(heads, weight, self._config.rms_norm_eps)
        return graph.reshape(normed, 0, 0, -1)

    def _add_and_norm(self, x: str, residual: str, weight: NDArray[np.float32]) -> tuple[str, str]:
        """The norm of a sum, and the sum."""
        graph = self._graph
        normed, _, _, total = graph.ops(
            "SkipSimplifiedLayerNormalization",
            x,
            residual,
            graph.weight(weight),
            domain=CONTRIB,
            num_outputs=4,
            epsilon=self._config.rms_norm_eps,
        )
        return normed, total

    def _first_norm(self, layer: int) -> NDArray[np.float32]:
        """Weight of the norm before a layer, or behind the last one."""
        is_last = layer == self._config.num_hidden_layers
        name = "model.norm" if is_last else f"model.layers.{layer}.input_layernorm"
        return self._weights[f"{name}.weight"]

    def _of(self, layer: int) -> Callable[[str], NDArray[np.float32]]:
        return lambda name: self._weights[f"model.layers.{layer}.{name}.weight"]

    def _cache_input(self, name: str) -> str:
        return self._graph.input(name, np.float32, self._cache_shape)

    def _cache_output(self, name: str) -> str:
        self._graph.declare_output(name, np.float32, self._cache_shape)
        return name

    @property
    def _cache_shape(self) -> tuple[str, int, str, int]:
        return "B", self._config.num_key_value_heads, "C", self._config.head_dim
