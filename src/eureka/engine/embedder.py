"""ReferenceEmbedder: pcm to audio embeddings in this process, by torch eager.

Builds the encoder's windows as the checkpoint's `windowing` says, encodes, adapts, and counts the
seconds that really went through the encoder, so that a coverage ledger can be held against them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import torch

from eureka.audio.encoder_input import EncoderWindow, build_encoder_windows
from eureka.audio.log_mel import FRAMES_PER_AUDIO_TOKEN
from eureka.engine.request import Floats
from eureka.errors import InvalidAudioError
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm

_SECONDS_PER_AUDIO_TOKEN = SAMPLES_PER_AUDIO_TOKEN / SAMPLE_RATE_HZ


class ReferenceEmbedder:
    """Encoder and adapter of a model, behind pcm in and embeddings out.

    Args:
        model: a loaded model; its config says how audio is windowed.
        max_batch_tokens: audio tokens, padding counted, that `embed_many` encodes in one pass.
    """

    def __init__(self, model: EurekaAudio, max_batch_tokens: int = 1500) -> None:
        self._model = model.eval()
        self._config = model.config
        self._max_batch_tokens = max_batch_tokens
        self._encoded_tokens = 0
        self._counting = threading.Lock()  # callers may come from several threads
        weight = model.audio_encoder.speech_encoder.conv1.weight
        self._dtype, self._device = weight.dtype, weight.device

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
        windows = self._windows(items)
        return self._adapt(torch.cat([self._encode([window]) for window in windows]))

    def embed_many(self, clips: Sequence[Pcm]) -> Iterator[tuple[int, Floats]]:
        """Embeddings of many requests of one item each, batched by length; (index, (A, W)) as they come.

        Equal to `embed([clip])` within float rounding. Meant for evaluation: clips of unlike length share
        no batch, so that little padding is encoded. Cut `clips` into pieces of some thousands.
        """
        for batch in self._batches(clips):
            windows = [window for _, own in batch for window in own]
            embeddings = self._adapt(self._encode(windows))
            start = 0
            for index, own in batch:
                count = sum(window.num_audio_tokens for window in own)
                yield index, embeddings[start : start + count]
                start += count

    def _batches(self, clips: Sequence[Pcm]) -> Iterator[list[tuple[int, list[EncoderWindow]]]]:
        batch: list[tuple[int, list[EncoderWindow]]] = []
        longest = 0
        for index in sorted(range(len(clips)), key=lambda i: len(clips[i])):
            own = self._windows([clips[index]])
            longest = max(longest, *(window.log_mel.shape[1] for window in own))
            count = sum(len(windows) for _, windows in batch) + len(own)
            if batch and count * longest // FRAMES_PER_AUDIO_TOKEN > self._max_batch_tokens:
                yield batch
                batch, longest = [], max(window.log_mel.shape[1] for window in own)
            batch.append((index, own))
        if batch:
            yield batch

    def _windows(self, items: Sequence[Pcm]) -> list[EncoderWindow]:
        if not items:
            raise InvalidAudioError("there is no audio to embed", reason="EMPTY_AUDIO")
        config = self._config
        return build_encoder_windows(
            items, config.windowing, config.audio_encoder.num_mel_bins, config.best_window_seconds
        )

    @torch.inference_mode()
    def _encode(self, windows: Sequence[EncoderWindow]) -> torch.Tensor:
        """Stacked encoder frames (A, stack * D) of windows, joined."""
        counts = [window.num_audio_tokens for window in windows]
        with self._counting:
            self._encoded_tokens += sum(counts)
        mels = [torch.tensor(w.log_mel, dtype=self._dtype, device=self._device) for w in windows]
        return self._model.encode_windows(mels, counts)

    @torch.inference_mode()
    def _adapt(self, stacked: torch.Tensor) -> Floats:
        """Embeddings (A, W) of stacked encoder frames."""
        embeddings: torch.Tensor = self._model.audio_moe_adaptor(stacked)
        return embeddings.float().cpu().numpy()
