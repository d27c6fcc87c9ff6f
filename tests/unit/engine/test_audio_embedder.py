"""Who watches an adapter; what it computes is compared with torch in `onnx/test_parity`."""

from __future__ import annotations

import numpy as np

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.audio_parts import RoutedTokens
from eureka.engine.request import Floats
from eureka.model.config import EurekaConfig
from tests.helpers.tiny_model import TINY_CONFIG


class PlainEncoder:
    def encode(self, log_mel: Floats) -> Floats:
        return np.zeros((log_mel.shape[1] // 2, 64), np.float32)


class PlainRouter:
    def route(self, tokens: Floats) -> RoutedTokens:
        count = len(tokens)
        return RoutedTokens(
            np.zeros((count, 64), np.float32), np.zeros((count, 1), np.int64), np.ones((count, 1), np.float32)
        )


def test_watchers_within_each_other_see_all_of_their_own_time() -> None:
    embedder = AudioEmbedder(PlainEncoder(), PlainRouter(), EurekaConfig.from_dict(TINY_CONFIG))
    pcm = np.zeros(1280, np.float32)
    with embedder.watched() as outer:
        with embedder.watched() as inner:
            embedder.embed([pcm])
        embedder.embed([pcm])
    embedder.embed([pcm])
    assert (len(outer), len(inner)) == (2, 1)
