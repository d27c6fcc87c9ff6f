"""Which arithmetic runs a checkpoint, and opening it: the one place that knows all backends.

Torch is imported only where the choice falls on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eureka.engine.audio_parts import TokenRouter, WindowEncoder
from eureka.engine.backend import Backend
from eureka.errors import InvalidInputError
from eureka.model.load_plan import LoadPlan

BackendName = Literal["auto", "onnx", "reference"]
Numerics = Literal["exact", "fast"]

GRAPHS = "graphs"
"""Folder below the cache folder that keeps graphs."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """What computes.

    Attributes:
        backend: `onnx` (CPU, no torch), `reference` (torch, any device and dtype), or `auto`: onnx for
            float32 on the CPU, else reference.
        numerics: `exact` float32, or `fast` int8 products; onnx only.
        dtype: float32, bfloat16 or float16; other than float32 on the reference only.
        device: cpu, or a torch device.
        num_threads: threads inside one operator.
        cache_folder: where graphs are kept; None writes them anew at each start.
        batch_invariant: results are the same bytes whatever else runs, for a part of the speed: prompts go in
            chunks of fixed length and, on onnx, decode always runs all slots.
    """

    backend: BackendName = "auto"
    numerics: Numerics = "exact"
    dtype: str = "float32"
    device: str = "cpu"
    num_threads: int = 1
    cache_folder: Path | None = None
    batch_invariant: bool = False

    def __post_init__(self) -> None:
        """Refuse what no backend can do."""
        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise InvalidInputError(f"dtype must be float32, bfloat16 or float16, not {self.dtype!r}")
        if self.backend == "onnx" and (self.dtype != "float32" or self.device != "cpu"):
            message = f"backend onnx computes in float32 on the cpu, not in {self.dtype} on {self.device}"
            raise InvalidInputError(message, reason="BACKEND_MISMATCH")
        if self.numerics == "fast" and not self.is_onnx:
            message = "fast numerics are for backend onnx in float32 on the cpu"
            raise InvalidInputError(message, reason="BACKEND_MISMATCH")

    @property
    def is_onnx(self) -> bool:
        """Whether ONNX Runtime computes."""
        is_fitting = self.dtype == "float32" and self.device == "cpu"
        return self.backend == "onnx" or (self.backend == "auto" and is_fitting)


def open_backend(
    plan: LoadPlan, choice: BackendChoice, num_slots: int, context_tokens: int = 4096
) -> Backend:
    """The language model of a checkpoint."""
    if choice.is_onnx:
        from eureka.engine.onnx.backend import OnnxBackend
        from eureka.engine.onnx.graph_store import GraphStore

        graphs = GraphStore(plan, choice.numerics, choice.num_threads, choice.cache_folder)
        return OnnxBackend(graphs, num_slots, context_tokens, choice.batch_invariant)
    from eureka.engine.reference import ReferenceBackend
    from eureka.engine.reference_parts import read_decoder

    return ReferenceBackend(read_decoder(plan, choice), num_slots, context_tokens)


def open_encoder(plan: LoadPlan, choice: BackendChoice) -> WindowEncoder:
    """The audio encoder of a checkpoint."""
    if choice.is_onnx:
        from eureka.engine.onnx.audio_parts import OnnxEncoder
        from eureka.engine.onnx.graph_store import GraphStore

        store = GraphStore(plan, choice.numerics, choice.num_threads, choice.cache_folder)
        return OnnxEncoder(store.open_encoder())
    from eureka.engine.reference_parts import read_encoder

    return read_encoder(plan, choice)


def open_router(plan: LoadPlan, choice: BackendChoice) -> TokenRouter:
    """The adapter of a checkpoint."""
    if choice.is_onnx:
        from eureka.engine.onnx.audio_parts import OnnxRouter
        from eureka.engine.onnx.graph_store import GraphStore

        store = GraphStore(plan, choice.numerics, choice.num_threads, choice.cache_folder)
        return OnnxRouter(store.open_adapter())
    from eureka.engine.reference_parts import read_router

    return read_router(plan, choice)
