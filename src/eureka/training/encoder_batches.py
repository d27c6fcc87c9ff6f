"""Batches of the encoder stage: augmented log-mels with frame phones and frame events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.training.augment import SOUND_POLICY, SPEECH_POLICY, Augmented, Augmenter, NoiseBank
from eureka.training.buckets import BucketSampler
from eureka.training.events import frame_event_targets, known_event_classes
from eureka.training.losses import IGNORED
from eureka.training.recipe import Recipe
from eureka.training.samples import Sample, SampleBook
from eureka.training.sound_labels import EVENT_CLASSES

_LAST_START = 500
"""Largest start in the position table: rows behind 10 s are trained by shorter clips that start late."""

_SHIFTED_SHARE = 0.3

_KINDS_OF_SOUND = ("sounds", "scenes", "quiet", "dataflux")
"""Augmented as sounds: recorded noise under them would be an event that nobody wrote down."""


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """B clips padded to F mel frames.

    Attributes:
        log_mel: (B, M, F) float32, zero on padding.
        num_frames: (B,) int64 true mel frames.
        position_offset: (B,) int64 start in the position table.
        phones: (B, F/2) int64, IGNORED where unknown or padded.
        events: (B, F/2, C) float32.
        event_mask: (B, F/2, C) float32, 1 where it is known whether the event is on.
    """

    log_mel: NDArray[np.float32]
    num_frames: NDArray[np.int64]
    position_offset: NDArray[np.int64]
    phones: NDArray[np.int64]
    events: NDArray[np.float32]
    event_mask: NDArray[np.float32]


def frame_phones(sample: Sample, time_scale: float, num_frames: int) -> NDArray[np.int64]:
    """Phone of each encoder frame (T,); silence where no phone stands, IGNORED when unknown."""
    if sample.phones is None:
        return np.full(num_frames, IGNORED, np.int64)
    labels = np.zeros(num_frames, np.int64)
    borders = np.rint(sample.phones[:, 1:] * (time_scale / 2)).astype(np.int64)
    for phone, (start, end) in zip(sample.phones[:, 0], borders, strict=True):
        labels[start:end] = phone
    return labels


class SampleAugmenter:
    """Draws, augments and normalises samples of a book so that they fit a padded length.

    Args:
        book: of the samples; its backgrounds are the recorded noise.
        strength: factor on how often each step of the policies happens.
    """

    def __init__(self, book: SampleBook, strength: float = 1.0) -> None:
        noise = NoiseBank(book.background_mels())
        self._speech = Augmenter(SPEECH_POLICY.scaled(strength), noise)
        self._sound = Augmenter(SOUND_POLICY.scaled(strength), noise)

    def augment(self, sample: Sample, longest: int, rng: np.random.Generator) -> Augmented:
        """Normalised mel (F, M), F at most `longest`: a draw that grew too long is drawn again."""
        augmenter = self._sound if sample.truth.kind in _KINDS_OF_SOUND else self._speech
        for _ in range(8):
            augmented = augmenter.augment(sample.raw, rng)
            if len(augmented.mel) <= longest:
                return augmented
        return Augmented(augmenter.finish(sample.raw[:longest], rng))


class EncoderBatchMaker:
    """Makes numbered encoder batches.

    Args:
        recipe: buckets, mix and seed.
        num_alignments: which alignment of the real clips to use; 0 leaves them out.
    """

    def __init__(self, recipe: Recipe, num_alignments: int) -> None:
        self._recipe, self._phase = recipe, num_alignments
        alignment = recipe.alignment(num_alignments) if num_alignments else None
        self._book = SampleBook(Path(recipe.data.folder), alignment, needs_phones=True)
        mix = recipe.mix_aligned if num_alignments and recipe.mix_aligned else recipe.mix
        self._sampler = BucketSampler(self._book.lengths, mix, recipe.batch.buckets, recipe.batch.rows)
        self._augmenter = SampleAugmenter(self._book, recipe.augmentation)

    def make(self, index: int) -> EncoderBatch:
        """Batch number `index`."""
        rng = np.random.default_rng((self._recipe.seed, self._phase, index))
        plan = self._sampler.plan(rng)
        rows = EncoderRows(plan.length)
        for draw in plan.draws:
            sample = self._book.get(draw.kind, draw.clip, rng)
            augmented = self._augmenter.augment(sample, plan.length, rng)
            is_shifted = rng.random() < _SHIFTED_SHARE
            rows.add(sample, augmented, int(rng.integers(_LAST_START)) if is_shifted else 0)
        return rows.batch()


class EncoderRows:
    """Collects augmented samples into one padded batch.

    Args:
        length: padded mel frames F of the batch.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._rows: list[dict[str, NDArray[Any]]] = []

    def add(self, sample: Sample, augmented: Augmented, position_offset: int) -> None:
        """Add one row with its frame labels."""
        length, frames = self._length, len(augmented.mel)
        log_mel = np.zeros((augmented.mel.shape[1], length), np.float32)
        log_mel[:, :frames] = augmented.mel.T
        phones = np.full(length // 2, IGNORED, np.int64)
        phones[: frames // 2] = frame_phones(sample, augmented.time_scale, frames // 2)
        events = np.zeros((length // 2, len(EVENT_CLASSES)), np.float32)
        mask = np.zeros_like(events)
        heard = sample.truth.heard(augmented.time_scale, augmented.noise_label).events
        if heard is not None:
            events[: frames // 2] = frame_event_targets(heard, frames // 2)
            mask[: frames // 2] = known_event_classes(heard)
        self._rows.append(
            {
                "log_mel": log_mel,
                "num_frames": np.array(frames, np.int64),
                "position_offset": np.array(position_offset, np.int64),
                "phones": phones,
                "events": events,
                "event_mask": mask,
            }
        )

    def batch(self) -> EncoderBatch:
        """All rows as arrays."""
        return EncoderBatch(**{name: np.stack([row[name] for row in self._rows]) for name in self._rows[0]})
