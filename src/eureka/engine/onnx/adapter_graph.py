"""The sparse mixture-of-experts adapter as one graph: stacked encoder frames in, audio embeddings out.

Each expert reads only the tokens that chose it. Any `AdapterSpec` is written; source: eureka-audio section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from eureka.engine.onnx.graph_builder import GraphBuilder
from eureka.model.adapter_spec import AdapterSpec

Arrays = Mapping[str, NDArray[np.float32]]


def build_adapter(graph: GraphBuilder, spec: AdapterSpec, weights: Arrays) -> None:
    """Write the graph.

    Input `tokens` (N, D). Outputs `audio_embeddings` (N, W), `selected` (N, k) int64, the experts that served
    each token, best first, and `gates` (N, k), their weights.
    """
    _AdapterWriter(graph, spec, weights).write()


class _AdapterWriter:
    def __init__(self, graph: GraphBuilder, spec: AdapterSpec, weights: Arrays) -> None:
        self._graph, self._spec, self._weights = graph, spec, weights
        self._activations: dict[str, Callable[[str], str]] = {
            "silu": graph.silu,
            "gelu": graph.gelu,
            "relu": lambda x: graph.op("Relu", x),
            "none": lambda x: x,
        }

    def write(self) -> None:
        graph, spec = self._graph, self._spec
        tokens = graph.input("tokens", np.float32, ("N", spec.input_size))
        tokens = self._norm("input_norm", spec.input_norm, tokens)
        gates, selected = self._route(tokens)
        mixed = self._mix(tokens, gates, selected)
        shared = self._shared(tokens)
        if shared is not None and spec.shared_place == "before_projection":
            mixed = graph.op("Add", mixed, shared)
        out = self._project(self._norm("mixed_norm", spec.mixed_norm, mixed))
        if shared is not None and spec.shared_place == "after_projection":
            out = graph.op("Add", out, shared)
        out = self._norm("output_norm", spec.output_norm, out)
        graph.output("audio_embeddings", out, np.float32, ("N", spec.output_size))
        graph.output("selected", selected, np.int64, ("N", spec.top_k))
        graph.output("gates", gates, np.float32, ("N", spec.top_k))

    def _route(self, tokens: str) -> tuple[str, str]:
        """gates (N, k) and selected (N, k) int64; see `model.adapter.Router`."""
        graph, spec = self._graph, self._spec
        # In float32 whatever the numerics: which expert serves a token must not hang on rounding.
        logits = graph.linear(
            tokens, self._weights["router.weight"], self._weights.get("router.bias"), may_be_int8=False
        )
        is_early = spec.routing_order == "select_then_softmax"
        scores = logits if is_early else graph.op("Softmax", logits, axis=-1)
        correction = self._weights.get("router.correction_bias")
        ranked = scores if correction is None else graph.op("Add", scores, graph.weight(correction))
        selected = graph.ops("TopK", ranked, graph.ints(spec.top_k), num_outputs=2, axis=-1)[1]
        gates = graph.op("GatherElements", scores, selected, axis=-1)
        if is_early:
            gates = graph.op("Softmax", gates, axis=-1)
        elif spec.renormalise:
            gates = graph.op("Div", gates, graph.op("ReduceSum", gates, graph.ints(-1), keepdims=1))
        return gates, selected

    def _mix(self, tokens: str, gates: str, selected: str) -> str:
        """Weighted sum (N, O) of what the chosen experts make of each token."""
        graph, spec = self._graph, self._spec
        count = graph.op("Shape", tokens, start=0, end=1)
        shape = graph.op("Concat", count, graph.ints(spec.expert_output_size), axis=0)
        mixed = graph.op("Expand", graph.scalar(0.0), shape)
        for expert in range(spec.num_experts):
            is_chosen = graph.op("Equal", selected, graph.ints(expert))  # (N, k)
            places = graph.op("Transpose", graph.op("NonZero", is_chosen), perm=[1, 0])  # (n, 2): row, column
            rows, _ = graph.ops("Split", places, graph.ints(1, 1), num_outputs=2, axis=1)  # (n, 1)
            weights = graph.op("GatherND", gates, places)  # (n,)
            own = graph.op("GatherND", tokens, rows)  # (n, D)
            out = self._expert("experts", expert, own)
            out = graph.op("Mul", out, graph.op("Unsqueeze", weights, graph.ints(-1)))
            mixed = graph.op("ScatterND", mixed, rows, out, reduction="add")
        return mixed

    def _shared(self, tokens: str) -> str | None:
        count = self._spec.num_shared_experts
        if not count:
            return None
        parts = [self._expert("shared_experts", expert, tokens) for expert in range(count)]
        return parts[0] if count == 1 else self._graph.op("Sum", *parts)

    def _expert(self, bank: str, index: int, tokens: str) -> str:
        """One expert on tokens (n, D) -> (n, O)."""
        graph, spec = self._graph, self._spec
        activate = self._activations[spec.activation]
        of = self._of(bank, index)
        tokens = self._expert_norm("input_norm", spec.expert_input_norm, tokens, of)
        hidden = graph.linear(tokens, _present(of("up_weight")), of("up_bias"))
        if spec.is_gated:
            gate = graph.linear(tokens, _present(of("gate_weight")), of("gate_bias"))
            hidden = graph.op("Mul", activate(gate), hidden)
        else:
            hidden = activate(hidden)
        hidden = self._expert_norm("hidden_norm", spec.expert_hidden_norm, hidden, of)
        out = graph.linear(hidden, _present(of("down_weight")), of("down_bias"))
        return self._expert_norm("output_norm", spec.expert_output_norm, out, of)

    def _project(self, mixed: str) -> str:
        spec = self._spec
        for number in range(len(spec.projection_sizes)):
            if number:
                mixed = self._activations[spec.projection_activation](mixed)
                mixed = self._norm("projection_norm", spec.projection_norm, mixed)
            weight = self._weights[f"projection.{number}.weight"]
            mixed = self._graph.linear(mixed, weight, self._weights.get(f"projection.{number}.bias"))
        return mixed

    def _norm(self, name: str, kind: str, x: str) -> str:
        if kind == "none":
            return x
        return self._norm_by(kind, x, self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias"))

    def _expert_norm(
        self, name: str, kind: str, x: str, of: Callable[[str], NDArray[np.float32] | None]
    ) -> str:
        return x if kind == "none" else self._norm_by(kind, x, of(f"{name}_weight"), of(f"{name}_bias"))

    def _norm_by(
        self, kind: str, x: str, weight: NDArray[np.float32] | None, bias: NDArray[np.float32] | None
    ) -> str:
        if kind == "rms_norm":
            return self._graph.rms_norm(x, _present(weight), self._spec.rms_norm_eps)
        return self._graph.layer_norm(x, _present(weight), _present(bias), self._spec.layer_norm_eps)

    def _of(self, bank: str, index: int) -> Callable[[str], NDArray[np.float32] | None]:
        def of(name: str) -> NDArray[np.float32] | None:
            stacked = self._weights.get(f"{bank}.{name}")
            return None if stacked is None else stacked[index]

        return of


def _present(array: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """A parameter that the loader has seen to be there."""
    assert array is not None
    return array
