"""Which arithmetic runs a checkpoint, and opening it: the one place that knows all backends.

Torch is imported only where the choice falls on it.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eureka.engine.audio_parts import TokenRouter, WindowEncoder
from eureka.engine.backend import Backend
from eureka.engine.cuda.availability import check_cuda
from eureka.engine.native.extension import MODULE, check_shapes, load_extension
from eureka.errors import InvalidInputError, NotFoundError
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import LoadPlan

if TYPE_CHECKING:
    from eureka.engine.onnx.graph_store import GraphStore

BackendName = Literal["auto", "cuda", "native", "onnx", "reference"]
Numerics = Literal["exact", "fast", "int8"]

_log = logging.getLogger(__name__)

GRAPHS = "graphs"
"""Folder below the cache folder that keeps graphs."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """What computes.

    Attributes:
        backend: `native` (own kernels, CPU, no torch; onnx where they cannot run), `onnx` (CPU, no torch),
            `cuda` (torch and own kernels, a GPU; reference where there is none), `reference` (torch, any
            device and dtype), or `auto`: for float32 on the CPU native with one thread and onnx with more,
            on a GPU cuda, else reference.
        numerics: `exact` float32, on cuda `dtype`; `fast` products of bfloat16 on native and cuda, of int8
            on onnx; `int8` on all three, on cuda of weights alone.
        dtype: float32, bfloat16 or float16; other than float32 on cuda and the reference only.
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
        is_fitting = self.dtype == "float32" and self.device == "cpu"
        if self.backend in ("native", "onnx") and not is_fitting:
            message = (
                f"backend {self.backend} computes in float32 on the cpu, not in {self.dtype} on {self.device}"
            )
            raise InvalidInputError(message, reason="BACKEND_MISMATCH")
        if self.numerics != "exact" and self.is_torch and not self.wants_cuda:
            message = (
                f"{self.numerics} numerics are for the backends native and onnx, in float32 on the cpu,"
                " and for cuda"
            )
            raise InvalidInputError(message, reason="BACKEND_MISMATCH")

    @property
    def is_torch(self) -> bool:
        """Whether torch computes."""
        is_fitting = self.dtype == "float32" and self.device == "cpu"
        return self.backend in ("cuda", "reference") or (self.backend == "auto" and not is_fitting)

    @property
    def wants_cuda(self) -> bool:
        """Whether the GPU backend computes, where it can."""
        return self.backend == "cuda" or (self.backend == "auto" and self.device.startswith("cuda"))

    def in_torch(self) -> BackendChoice:
        """Device and dtype of parts in torch: of the GPU backend, or of the reference in its place."""
        if not self.wants_cuda:
            return self
        import torch

        device = self.device if self.device.startswith("cuda") else "cuda"
        has_gpu = torch.cuda.is_available()
        is_short = has_gpu and self.numerics != "exact" and self.dtype == "float32"
        return replace(
            self,
            backend="reference",
            numerics="exact",
            dtype="bfloat16" if is_short else self.dtype,
            device=device if has_gpu else "cpu",
        )

    def resolve(
        self, config: EurekaConfig, kernels: str = MODULE
    ) -> Literal["cuda", "native", "onnx", "reference"]:
        """What will compute a checkpoint here; the log says why where cuda or native would but cannot.

        `kernels` is the module of the native ones.
        """
        if self.wants_cuda:
            try:
                check_cuda(config)
            except (NotFoundError, InvalidInputError) as error:
                say_cuda_once(str(error))
                return "reference"
            return "cuda"
        if self.is_torch:
            return "reference"
        if self.backend == "onnx" or (self.backend == "auto" and self.num_threads > 1):
            return "onnx"
        try:
            load_extension(kernels)
            check_shapes(config)
        except (NotFoundError, InvalidInputError) as error:
            say_once(str(error))
            return "onnx"
        return "native"


def open_backend(
    plan: LoadPlan, choice: BackendChoice, num_slots: int, context_tokens: int = 4096
) -> Backend:
    """The language model of a checkpoint."""
    backend = choice.resolve(plan.config)
    if backend == "cuda":
        from eureka.engine.cuda.opening import open_cuda_backend

        return open_cuda_backend(plan, choice, num_slots, context_tokens)
    if backend == "reference":
        from eureka.engine.reference import ReferenceBackend
        from eureka.engine.reference_parts import read_decoder

        return ReferenceBackend(read_decoder(plan, choice.in_torch()), num_slots, context_tokens)
    if backend == "native":
        from eureka.engine.native.backend import NativeBackend

        return NativeBackend(plan, choice.numerics, num_slots, context_tokens)
    from eureka.engine.onnx.backend import OnnxBackend

    return OnnxBackend(_graphs(plan, choice), num_slots, context_tokens, choice.batch_invariant)


def open_encoder(plan: LoadPlan, choice: BackendChoice) -> WindowEncoder:
    """The audio encoder of a checkpoint."""
    backend = choice.resolve(plan.config)
    if backend == "cuda":
        from eureka.engine.cuda.opening import open_cuda_encoder

        return open_cuda_encoder(plan, choice)
    if backend == "reference":
        from eureka.engine.reference_parts import read_encoder

        return read_encoder(plan, choice.in_torch())
    if backend == "native":
        from eureka.engine.native.audio_parts import NativeEncoder
        from eureka.engine.native.weights import build_encoder

        return NativeEncoder(build_encoder(plan.config.audio_encoder, plan.read_encoder(), choice.numerics))
    from eureka.engine.onnx.audio_parts import OnnxEncoder

    return OnnxEncoder(_graphs(plan, choice).open_encoder())


def open_router(plan: LoadPlan, choice: BackendChoice) -> TokenRouter:
    """The adapter of a checkpoint; on ONNX Runtime beside native kernels, too: it takes 3 % of the time."""
    if choice.is_torch:
        from eureka.engine.reference_parts import read_router

        return read_router(plan, choice.in_torch())
    from eureka.engine.onnx.audio_parts import OnnxRouter

    return OnnxRouter(_graphs(plan, choice).open_adapter())


def _graphs(plan: LoadPlan, choice: BackendChoice) -> GraphStore:
    from eureka.engine.onnx.graph_store import GraphStore

    numerics: Literal["exact", "fast"] = "exact" if choice.numerics == "exact" else "fast"
    return GraphStore(plan, numerics, choice.num_threads, choice.cache_folder)


@functools.cache
def say_once(reason: str) -> None:
    """One line for a reason, however many parts of a checkpoint are opened."""
    _log.warning("native_left_out", extra={"reason": reason, "backend": "onnx"})


@functools.cache
def say_cuda_once(reason: str) -> None:
    """The same for a GPU backend that cannot run."""
    _log.warning("cuda_left_out", extra={"reason": reason, "backend": "reference"})
