"""FrameAdapter: encoder frames to audio embeddings, behind the Triton model moe_adapter."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch

from eureka.engine.request import Floats
from eureka.errors import InvalidInputError
from eureka.model.adapter import MoeAdapter
from eureka.serving.parts import load_adapter


class FrameAdapter:
    """A mixture-of-experts adapter that counts where its tokens went.

    Args:
        adapter: weights, on their device.
        stack_frames: encoder frames of one audio token.
    """

    def __init__(self, adapter: MoeAdapter, stack_frames: int) -> None:
        self._adapter = adapter.eval()
        self._stack_frames = stack_frames
        weight = adapter.router.weight
        self._dtype, self._device = weight.dtype, weight.device
        self._expert_tokens = np.zeros(adapter.spec.num_experts, dtype=np.int64)
        self._counting = threading.Lock()

    @classmethod
    def from_checkpoint(cls, folder: Path, dtype: torch.dtype, device: str) -> FrameAdapter:
        """The adapter of a checkpoint folder, no other weights.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        adapter, plan = load_adapter(folder, dtype, device)
        return cls(adapter, plan.config.stack_frames)

    @property
    def frame_width(self) -> int:
        """D, the width of encoder frames."""
        return self._adapter.spec.input_size // self._stack_frames

    @property
    def width(self) -> int:
        """W, the width of audio embeddings."""
        return self._adapter.spec.output_size

    @property
    def expert_tokens(self) -> tuple[int, ...]:
        """Audio tokens that each routed expert served so far; a token counts for each of its experts."""
        with self._counting:
            return tuple(self._expert_tokens.tolist())

    def adapt(self, frames: Floats) -> Floats:
        """Audio embeddings (A, W) of encoder frames (T, D), T = 4 * A.

        No frames at all are a trial: one token of zeros is run, uncounted, and (0, W) returned.

        Raises:
            InvalidInputError: T or D does not fit, or a value is no number (INVALID_TENSOR).
        """
        if frames.ndim == 2 and len(frames) == 0:
            self.warm_up()
            return np.zeros((0, self.width), dtype=np.float32)
        self._check(frames)
        stacked = frames.reshape(-1, self._stack_frames * self.frame_width)  # (A, stack * D)
        embeddings, counts = self._route(stacked)
        with self._counting:
            self._expert_tokens += counts
        return embeddings

    def warm_up(self) -> None:
        """Adapt one token of zeros, uncounted."""
        self._route(np.zeros((1, self._adapter.spec.input_size), dtype=np.float32))

    @torch.inference_mode()
    def _route(self, stacked: Floats) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        routed = self._adapter.route(torch.tensor(stacked, dtype=self._dtype, device=self._device))
        counts = torch.bincount(routed.selected.flatten(), minlength=len(self._expert_tokens))
        return routed.audio_embeddings.float().cpu().numpy(), counts.cpu().numpy()

    def _check(self, frames: Floats) -> None:
        wanted = f"(T, {self.frame_width}) with T a multiple of {self._stack_frames}"
        is_shaped = frames.ndim == 2 and frames.shape[1] == self.frame_width
        if not is_shaped or len(frames) % self._stack_frames:
            raise InvalidInputError(
                f"encoder_frames has shape {frames.shape}; it must be {wanted}", reason="INVALID_TENSOR"
            )
        if not np.isfinite(frames).all():
            raise InvalidInputError("encoder_frames holds NaN or infinite values", reason="INVALID_TENSOR")
