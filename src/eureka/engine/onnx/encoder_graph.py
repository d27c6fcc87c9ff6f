"""The audio encoder as one graph: log_mel of any even length in, encoder frames out.

Source: eureka-audio section 2 (Whisper: two convolutions, a position table, pre-norm blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from eureka.engine.onnx.graph_builder import GraphBuilder
from eureka.model.config import EncoderConfig

Arrays = Mapping[str, NDArray[np.float32]]

_EPS = 1e-5


def build_encoder(graph: GraphBuilder, config: EncoderConfig, weights: Arrays) -> None:
    """Write the graph: `log_mel` (B, M, F), rows of one length -> `frames` (B, T, D), T = F / 2."""
    _EncoderWriter(graph, config, weights).write()


class _EncoderWriter:
    def __init__(self, graph: GraphBuilder, config: EncoderConfig, weights: Arrays) -> None:
        self._graph, self._config, self._weights = graph, config, weights

    def write(self) -> None:
        graph, config = self._graph, self._config
        x = graph.input("log_mel", np.float32, ("B", config.num_mel_bins, "F"))
        x = graph.gelu(self._convolve("conv1", x, stride=1))
        x = graph.gelu(self._convolve("conv2", x, stride=2))  # (B, D, T)
        x = graph.op("Transpose", x, perm=[0, 2, 1])
        x = graph.op("Add", x, self._positions(x))
        for layer in range(config.encoder_layers):
            x = self._layer(f"layers.{layer}.", x)
        graph.output("frames", self._norm("layer_norm", x), np.float32, ("B", "T", config.d_model))

    def _convolve(self, name: str, x: str, stride: int) -> str:
        weight, bias = (self._graph.weight(self._weights[f"{name}.{kind}"]) for kind in ("weight", "bias"))
        return self._graph.op(
            "Conv", x, weight, bias, kernel_shape=[3], strides=[stride], pads=[1, 1], dilations=[1], group=1
        )

    def _positions(self, x: str) -> str:
        """The first T rows of the position table."""
        graph = self._graph
        table = graph.weight(self._weights["embed_positions.weight"])
        length = graph.op("Shape", x, start=1, end=2)
        return graph.op("Slice", table, graph.ints(0), length, graph.ints(0))

    def _layer(self, prefix: str, x: str) -> str:
        graph = self._graph
        x = graph.op("Add", x, self._attend(prefix, self._norm(prefix + "self_attn_layer_norm", x)))
        inner = self._linear(prefix + "fc1", self._norm(prefix + "final_layer_norm", x))
        return graph.op("Add", x, self._linear(prefix + "fc2", graph.gelu(inner)))

    def _attend(self, prefix: str, x: str) -> str:
        graph, num_heads = self._graph, self._config.encoder_attention_heads
        of = self._of(prefix + "self_attn.")
        names = ("q_proj", "k_proj", "v_proj")
        width = self._config.d_model
        no_bias = np.zeros(width, np.float32)  # the key projection has none
        biases = [of("q_proj.bias"), no_bias, of("v_proj.bias")]
        joined = graph.linear(
            x, np.concatenate([of(f"{name}.weight") for name in names]), np.concatenate(biases)
        )
        parts = graph.split(joined, [width] * 3)
        mixed = graph.contrib("MultiHeadAttention", *parts, num_heads=num_heads)
        return self._linear(prefix + "self_attn.out_proj", mixed)

    def _linear(self, name: str, x: str) -> str:
        return self._graph.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: str) -> str:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return self._graph.layer_norm(x, weight, bias, _EPS)

    def _of(self, prefix: str) -> Callable[[str], NDArray[np.float32]]:
        return lambda name: self._weights[prefix + name]
