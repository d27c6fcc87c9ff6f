"""FrameEncoder: pcm of a request to encoder frames, behind the Triton model audio_encoder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eureka.audio.encoder_input import EncoderWindow, build_encoder_windows
from eureka.engine.audio_parts import WindowEncoder
from eureka.engine.choice import BackendChoice, open_encoder
from eureka.engine.request import Floats, Ids
from eureka.errors import InvalidAudioError, InvalidInputError
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import plan_load
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm


class FrameEncoder:
    """An encoder with its checkpoint's manner of cutting audio.

    Args:
        encoder: encodes windows.
        config: of the checkpoint.
    """

    def __init__(self, encoder: WindowEncoder, config: EurekaConfig) -> None:
        self._encoder, self._config = encoder, config
        self._encoded_tokens = 0
        self._counting = threading.Lock()

    @classmethod
    def from_checkpoint(cls, folder: Path, choice: BackendChoice) -> FrameEncoder:
        """The encoder of a checkpoint folder, no other weights.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        plan = plan_load(folder)
        return cls(open_encoder(plan, choice), plan.config)

    @property
    def width(self) -> int:
        """D, the width of the frames."""
        return self._config.audio_encoder.d_model

    @property
    def encoded_seconds(self) -> float:
        """Seconds of audio encoded so far, in whole audio tokens; padding is left out."""
        return self._encoded_tokens * SAMPLES_PER_AUDIO_TOKEN / SAMPLE_RATE_HZ

    def encode(self, items: Sequence[Pcm]) -> Floats:
        """Encoder frames (T, D) of the items of one request, in order; T = 4 for each started 80 ms.

        Windows are encoded one at a time, so that the result depends on these items alone.

        Args:
            items: pcm (S,) each, float32 at 16 kHz.

        Raises:
            InvalidAudioError: no items, or one without samples (EMPTY_AUDIO).
        """
        windows = self._windows(items)
        frames = np.concatenate([self._encode(window) for window in windows])
        with self._counting:
            self._encoded_tokens += sum(window.num_audio_tokens for window in windows)
        return frames

    def warm_up(self) -> None:
        """Encode half a second of silence, uncounted."""
        for window in self._windows([np.zeros(SAMPLE_RATE_HZ // 2, dtype=np.float32)]):
            self._encode(window)

    def _windows(self, items: Sequence[Pcm]) -> list[EncoderWindow]:
        if not items:
            raise InvalidAudioError("there is no audio to encode", reason="EMPTY_AUDIO")
        config = self._config
        return build_encoder_windows(
            items, config.windowing, config.audio_encoder.num_mel_bins, config.best_window_seconds
        )

    def _encode(self, window: EncoderWindow) -> Floats:
        """Frames (T, D) of a window's own audio."""
        return self._encoder.encode(window.log_mel)[: window.num_audio_tokens * self._config.stack_frames]


def split_items(pcm: Pcm, item_lengths: Ids) -> list[Pcm]:
    """The items of a request from their joined samples.

    Args:
        pcm: (S,) all samples.
        item_lengths: samples of each item.

    Raises:
        InvalidInputError: lengths below zero, or their sum is not S (INVALID_TENSOR).
    """
    if (item_lengths < 0).any() or int(item_lengths.sum()) != len(pcm):
        raise InvalidInputError(
            f"item_lengths {item_lengths.tolist()} do not sum to the {len(pcm)} samples of pcm",
            reason="INVALID_TENSOR",
        )
    if not np.isfinite(pcm).all():
        raise InvalidInputError("pcm holds NaN or infinite values", reason="INVALID_TENSOR")
    return np.split(pcm, np.cumsum(item_lengths)[:-1]) if len(item_lengths) else []
