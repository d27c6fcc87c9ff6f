"""AudioEmbedder: pcm to audio embeddings in this process, by any encoder and adapter.

Builds the encoder's windows as the checkpoint's `windowing` says, encodes, adapts, and counts the
seconds that really went through the encoder, so that a coverage ledger can be held against them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from eureka.audio.encoder_input import build_encoder_windows
from eureka.engine.audio_parts import RoutedTokens, TokenRouter, WindowEncoder
from eureka.engine.choice import BackendChoice, open_encoder, open_router
from eureka.engine.request import Floats
from eureka.errors import InvalidAudioError
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import LoadPlan
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm

_SECONDS_PER_AUDIO_TOKEN = SAMPLES_PER_AUDIO_TOKEN / SAMPLE_RATE_HZ


class AudioEmbedder:
    """Encoder and adapter of a checkpoint, behind pcm in and embeddings out; thread-safe.

    Args:
        encoder: encodes windows.
        router: adapts their tokens.
        config: of the checkpoint; says how audio is windowed.
    """

    def __init__(self, encoder: WindowEncoder, router: TokenRouter, config: EurekaConfig) -> None:
        self._encoder, self._router, self._config = encoder, router, config
        self._encoded_tokens = 0
        self._watchers: list[list[RoutedTokens]] = []
        self._counting = threading.Lock()

    @classmethod
    def open(cls, plan: LoadPlan, choice: BackendChoice) -> AudioEmbedder:
        """The embedder of a checkpoint."""
        if choice.resolve(plan.config) == "cuda":
            from eureka.engine.cuda.opening import open_cuda_embedder

            return open_cuda_embedder(plan, choice)
        return cls(open_encoder(plan, choice), open_router(plan, choice), plan.config)

    @property
    def width(self) -> int:
        """W, the width of the embeddings."""
        return self._config.backbone.hidden_size

    @property
    def encoded_seconds(self) -> float:
        """Seconds of audio encoded since the embedder was built, counted at the encoder's own input.

        Whole audio tokens of 80 ms; constant padding of `reference` windows is left out.
        """
        return self._encoded_tokens * _SECONDS_PER_AUDIO_TOKEN

    def embed(self, items: Sequence[Pcm]) -> Floats:
        """Audio embeddings (A, W) of the items of one request, in order.

        Windows go through the encoder one at a time, so that the result does not depend on anything
        but these items; then all their tokens go through the adapter together, as in two stages apart.

        Args:
            items: pcm (S,) each, float32 at 16 kHz.

        Raises:
            InvalidAudioError: no items, or one without samples.
        """
        routed = self._route(items)
        with self._counting:
            for seen in self._watchers:
                seen.append(routed)
        return routed.audio_embeddings

    @contextmanager
    def watched(self) -> Iterator[list[RoutedTokens]]:
        """Collects what goes through the adapter while entered, in order."""
        seen: list[RoutedTokens] = []
        with self._counting:
            self._watchers.append(seen)
        try:
            yield seen
        finally:
            with self._counting:  # by identity: two that saw the same are equal
                self._watchers = [other for other in self._watchers if other is not seen]

    def _route(self, items: Sequence[Pcm]) -> RoutedTokens:
        """What the adapter makes of all tokens of the items."""
        return self._router.route(np.concatenate(list(self._tokens(items))))

    def _count(self, num_audio_tokens: int) -> None:
        """Note that a window went through the encoder."""
        with self._counting:
            self._encoded_tokens += num_audio_tokens

    def _tokens(self, items: Sequence[Pcm]) -> Iterator[Floats]:
        """Stacked encoder frames (A, stack * D) of each window."""
        if not items:
            raise InvalidAudioError("there is no audio to embed", reason="EMPTY_AUDIO")
        config = self._config
        windows = build_encoder_windows(
            items, config.windowing, config.audio_encoder.num_mel_bins, config.best_window_seconds
        )
        for window in windows:
            frames = self._encoder.encode(window.log_mel)[: window.num_audio_tokens * config.stack_frames]
            self._count(window.num_audio_tokens)
            yield frames.reshape(-1, config.stack_frames * frames.shape[1])
