"""The encoder on native kernels; see `engine.audio_parts` for the contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from eureka.engine.request import Floats


class NativeEncoder:
    """Runs the encoder that `build_encoder` fills."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, log_mel: Floats) -> Floats:
        """Encoder frames (T, D) of a window (M, F)."""
        frames: Floats = self._encoder.encode(np.ascontiguousarray(log_mel, np.float32))
        return frames
