"""Encoder and adapter on ONNX Runtime; see `engine.audio_parts` for the contracts."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from eureka.engine.audio_parts import RoutedTokens
from eureka.engine.request import Floats


class OnnxEncoder:
    """Runs the graph that `build_encoder` writes."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def encode(self, log_mel: Floats) -> Floats:
        """Encoder frames (T, D) of a window (M, F)."""
        window = np.asarray(log_mel, np.float32)[None]
        frames: Floats = self._session.run(["frames"], {"log_mel": window})[0][0]
        return frames


class OnnxRouter:
    """Runs the graph that `build_adapter` writes."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def route(self, tokens: Floats) -> RoutedTokens:
        """What the adapter makes of tokens (A, stack * D)."""
        embeddings, selected, gates = self._session.run(
            ["audio_embeddings", "selected", "gates"],
            {"tokens": np.asarray(tokens, np.float32)},
        )
        return RoutedTokens(embeddings, selected, gates)
