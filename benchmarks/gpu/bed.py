"""What all parts measure on: a checkpoint, a device, its clock, and the two limits that it is measured by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from eureka.engine.backend import Prefill
from eureka.engine.cuda.backend import CudaBackend
from eureka.engine.cuda.hearing import CudaEmbedder, CudaEncoder
from eureka.engine.cuda.weights import Storage, weights_of
from eureka.engine.reference_parts import ReferenceRouter
from eureka.model.attention import fused_attention
from eureka.model.config import DecoderConfig, EncoderConfig
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.weights import load_checkpoint

_COPY_BYTES = 4 << 30
_MATMUL_SIDE = 8192
_QUICK_BYTES, _QUICK_SIDE = 1 << 22, 128


@dataclass(frozen=True)
class Bed:
    """A run of the GPU's goals.

    Attributes:
        folder: of the checkpoint.
        device: cuda, or cpu in a quick run, whose figures mean nothing.
        is_quick: few rounds of little work.
    """

    folder: Path
    device: torch.device
    is_quick: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of all arithmetic."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    @cached_property
    def model(self) -> EurekaAudio:
        """The checkpoint in torch, attention by scaled_dot_product_attention; loaded once."""
        return load_checkpoint(self.folder, self.dtype, self.device, attention=fused_attention)[0]

    @property
    def card(self) -> str:
        """Name of what computes."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu, quick"

    @property
    def has_fp8(self) -> bool:
        """Whether kernels can read weights in float8_e4m3fn: from Ada and Hopper on."""
        return self.device.type != "cuda" or torch.cuda.get_device_capability(self.device) >= (8, 9)

    def size(self, usual: int, quick: int) -> int:
        """Rounds, tokens or requests of a measurement."""
        return quick if self.is_quick else usual

    def seconds(self, work: Callable[[], object]) -> float:
        """Time of some work on the current stream, by events; without a GPU by the clock."""
        if self.device.type != "cuda":
            started = time.perf_counter()
            work()
            return time.perf_counter() - started
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        began.record()
        work()
        ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1000

    def wait(self) -> None:
        """Until the device has done all."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def bytes_a_second(self) -> float:
        """Bytes that a large copy reads and writes together, a second."""
        count = self.size(_COPY_BYTES, _QUICK_BYTES)
        source = torch.zeros(count, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        target.copy_(source)
        return 2 * count / min(self.seconds(lambda: target.copy_(source)) for _ in range(5))

    def flops_a_second(self) -> float:
        """Multiplications and additions of a large square product, a second."""
        side = self.size(_MATMUL_SIDE, _QUICK_SIDE)
        a, b = (torch.randn(side, side, device=self.device, dtype=self.dtype) for _ in range(2))
        out = a @ b
        return 2 * side**3 / min(self.seconds(lambda: torch.mm(a, b, out=out)) for _ in range(5))

    def backend(self, num_slots: int, context: int, storage: Storage = "full") -> CudaBackend:
        """The language model, ready: graphs are captured, kernels compiled."""
        weights = weights_of(self.model.backbone, context, storage)
        backend = CudaBackend(weights, num_slots, context)
        backend.prepare()
        return backend

    def embedder(self) -> CudaEmbedder:
        """Samples to embeddings."""
        encoder = CudaEncoder(self.model.audio_encoder.speech_encoder)
        return CudaEmbedder(encoder, ReferenceRouter(self.model.audio_moe_adaptor), self.model.config)

    def prompt(self, slot: int, num_tokens: int, seed: int = 0) -> Prefill:
        """Random ids, no audio: they cost the same."""
        config = self.model.config.backbone
        ids = np.random.default_rng(seed).integers(0, config.vocab_size, num_tokens)
        return Prefill(slot, ids, np.zeros(0, np.int64), np.zeros((0, config.hidden_size), np.float32))


def kv_bytes(config: DecoderConfig, bytes_a_number: int) -> int:
    """Keys and values of one token."""
    width = config.num_key_value_heads * config.head_dim
    return 2 * config.num_hidden_layers * width * bytes_a_number


def body_parameters(config: DecoderConfig) -> int:
    """Weights of the blocks' linears."""
    heads = (2 * config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    return config.num_hidden_layers * config.hidden_size * (heads + 3 * config.intermediate_size)


def prefill_flops(config: DecoderConfig, num_tokens: int) -> float:
    """Of a prompt; the head is needed once."""
    width = config.num_attention_heads * config.head_dim
    attention = 2 * config.num_hidden_layers * width * num_tokens**2  # two products, half of them hidden
    return 2 * (body_parameters(config) * num_tokens + config.vocab_size * config.hidden_size) + attention


def encoder_flops(config: EncoderConfig, num_frames: int) -> float:
    """Of one window of `num_frames` mel frames."""
    width, length = config.d_model, num_frames // 2
    stem = 6 * (num_frames * config.num_mel_bins * width + length * width**2)
    linears = length * width * (8 * width + 4 * config.encoder_ffn_dim)
    return stem + config.encoder_layers * (linears + 4 * length**2 * width)
