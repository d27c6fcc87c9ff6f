"""Encoder and embedder on a GPU: windows of all callers in batches, on a stream beside that of decoding."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.audio_parts import RoutedTokens
from eureka.engine.cuda.log_mel import device_windows
from eureka.engine.reference_parts import ReferenceRouter
from eureka.engine.request import Floats
from eureka.errors import InvalidAudioError
from eureka.model.config import EurekaConfig
from eureka.model.encoder import AudioEncoder
from eureka.types import Pcm

MAX_BATCH = 8
"""Windows encoded together: eight of 30 s fill a GPU, and more make the first wait for the last."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    window: Tensor
    frames: Future[Tensor] = field(default_factory=Future)


class Batcher:
    """Runs windows of equal length together, whoever brings them; thread-safe.

    Has no thread of its own: whoever comes first runs a batch of what waits, and meanwhile others gather.

    Args:
        run: encodes windows (B, M, F) into frames (B, T, D).
        max_batch: windows of a batch.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], max_batch: int = MAX_BATCH) -> None:
        self._run, self._max_batch = run, max_batch
        self._line: list[_Waiting] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    def encode(self, windows: Sequence[Tensor]) -> list[Tensor]:
        """Frames (T, D) of windows (M, F).

        Raises: what the encoder raises for the batch of a window.
        """
        mine = [_Waiting(window) for window in windows]
        with self._guard:
            self._line += mine
        for one in mine:
            while not one.frames.done():
                with self._turn:
                    if not one.frames.done():
                        self._run_batch()
        return [one.frames.result() for one in mine]

    def _run_batch(self) -> None:
        with self._guard:
            shape = self._line[0].window.shape
            batch = [one for one in self._line if one.window.shape == shape][: self._max_batch]
            self._line = [one for one in self._line if all(one is not other for other in batch)]
        try:
            frames = self._run(torch.stack([one.window for one in batch]))
        except Exception as error:
            for one in batch:
                one.frames.set_exception(error)
            return
        for one, rows in zip(batch, frames, strict=True):
            one.frames.set_result(rows)


class CudaEncoder:
    """Runs an encoder in its own type on its device; see `WindowEncoder`.

    Args:
        encoder: with attention by `fused_attention`.
        max_batch: windows encoded together; 1 for results that are the same bytes whatever else runs.
    """

    def __init__(self, encoder: AudioEncoder, max_batch: int = MAX_BATCH) -> None:
        self._encoder = encoder.eval()
        weight = encoder.conv1.weight
        self._dtype, self.device = weight.dtype, weight.device
        self._stream = torch.cuda.Stream(self.device) if weight.is_cuda else None
        self._batcher = Batcher(self._run, max_batch)

    def encode(self, log_mel: Floats) -> Floats:
        """Encoder frames (T, D) of a window (M, F)."""
        with torch.inference_mode(), self.stream():
            window = torch.from_numpy(np.ascontiguousarray(log_mel, np.float32)).to(self.device)
            frames: Floats = self.encode_windows([window])[0].float().cpu().numpy()
        return frames

    def encode_windows(self, windows: Sequence[Tensor]) -> list[Tensor]:
        """Encoder frames (T, D) of windows (M, F) on the device; within `stream()`."""
        return self._batcher.encode(windows)

    def stream(self) -> contextlib.AbstractContextManager[Any]:
        """Lets what is entered go by the encoder's stream, beside that of decoding."""
        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _run(self, windows: Tensor) -> Tensor:
        frames: Tensor = self._encoder(windows.to(self._dtype))
        return frames


class CudaEmbedder(AudioEmbedder):
    """From samples to embeddings without leaving the device between.

    Args:
        encoder: encodes windows.
        router: adapts their tokens, on the same device.
        config: of the checkpoint.
    """

    def __init__(self, encoder: CudaEncoder, router: ReferenceRouter, config: EurekaConfig) -> None:
        super().__init__(encoder, router, config)
        self._on_device, self._adapter = encoder, router

    def _route(self, items: Sequence[Pcm]) -> RoutedTokens:
        if not items:
            raise InvalidAudioError("there is no audio to embed", reason="EMPTY_AUDIO")
        with torch.inference_mode(), self._on_device.stream():
            return self._adapter.route_tensor(torch.cat(self._device_tokens(items)))

    def _device_tokens(self, items: Sequence[Pcm]) -> list[Tensor]:
        """Stacked encoder frames (A, stack * D) of each window."""
        config = self._config
        windows = device_windows(
            items,
            config.windowing,
            config.audio_encoder.num_mel_bins,
            config.best_window_seconds,
            self._on_device.device,
        )
        frames = self._on_device.encode_windows([window.log_mel for window in windows])
        tokens = []
        for window, rows in zip(windows, frames, strict=True):
            self._count(window.num_audio_tokens)
            kept = rows[: window.num_audio_tokens * config.stack_frames]
            tokens.append(kept.reshape(-1, config.stack_frames * rows.shape[1]))
        return tokens
