"""FrameAdapter: encoder frames to audio embeddings, behind the Triton model moe_adapter."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from eureka.engine.audio_parts import TokenRouter
from eureka.engine.choice import BackendChoice, open_router
from eureka.engine.request import Floats
from eureka.errors import InvalidInputError
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.load_plan import plan_load


class FrameAdapter:
    """A mixture-of-experts adapter that counts where its tokens went.

    Args:
        router: adapts tokens.
        spec: of the adapter.
        stack_frames: encoder frames of one audio token.
    """

    def __init__(self, router: TokenRouter, spec: AdapterSpec, stack_frames: int) -> None:
        self._router, self._spec, self._stack_frames = router, spec, stack_frames
        self._expert_tokens = np.zeros(spec.num_experts, dtype=np.int64)
        self._counting = threading.Lock()

    @classmethod
    def from_checkpoint(cls, folder: Path, choice: BackendChoice) -> FrameAdapter:
        """The adapter of a checkpoint folder, no other weights.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        plan = plan_load(folder)
        return cls(open_router(plan, choice), plan.adapter.spec, plan.config.stack_frames)

    @property
    def frame_width(self) -> int:
        """D, the width of encoder frames."""
        return self._spec.input_size // self._stack_frames

    @property
    def width(self) -> int:
        """W, the width of audio embeddings."""
        return self._spec.output_size

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
        routed = self._router.route(stacked)
        with self._counting:
            self._expert_tokens += np.bincount(routed.selected.ravel(), minlength=len(self._expert_tokens))
        return routed.audio_embeddings

    def warm_up(self) -> None:
        """Adapt one token of zeros, uncounted."""
        self._router.route(np.zeros((1, self._spec.input_size), dtype=np.float32))

    def _check(self, frames: Floats) -> None:
        wanted = f"(T, {self.frame_width}) with T a multiple of {self._stack_frames}"
        is_shaped = frames.ndim == 2 and frames.shape[1] == self.frame_width
        if not is_shaped or len(frames) % self._stack_frames:
            raise InvalidInputError(
                f"encoder_frames has shape {frames.shape}; it must be {wanted}", reason="INVALID_TENSOR"
            )
        if not np.isfinite(frames).all():
            raise InvalidInputError("encoder_frames holds NaN or infinite values", reason="INVALID_TENSOR")
