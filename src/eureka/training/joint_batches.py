"""Batches of the joint stage: audio through the encoder, with frame labels, prompt and answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.model.config import EurekaConfig
from eureka.training.buckets import BucketSampler
from eureka.training.decoder_batches import lay_out
from eureka.training.encoder_batches import EncoderBatch, EncoderRows, SampleAugmenter
from eureka.training.recipe import Recipe
from eureka.training.samples import SampleBook
from eureka.training.tasks import TaskWriter

FRAMES_PER_TOKEN = 8
"""Mel frames in one audio token."""

_LENGTH_STEP = 32
"""Positions are padded to a multiple of this, so that few shapes occur."""


@dataclass(frozen=True, slots=True)
class JointBatch:
    """Encoder inputs with frame labels, and the rows of the decoder.

    Attributes:
        audio: the encoder's part.
        token_mask: (B, F/8) bool, which audio tokens are true.
        input_ids: (B, L) int64.
        is_audio: (B, L) bool.
        targets: (B, L) int64.
    """

    audio: EncoderBatch
    token_mask: NDArray[np.bool_]
    input_ids: NDArray[np.int64]
    is_audio: NDArray[np.bool_]
    targets: NDArray[np.int64]


class JointBatchMaker:
    """Makes numbered joint batches over the packs and the newest alignment.

    Args:
        recipe: packs, mix, buckets and seed.
        tokenizer_folder: holds tokenizer.json.
        config: prompts of the model; the nano's when None.
    """

    def __init__(self, recipe: Recipe, tokenizer_folder: Path, config: EurekaConfig | None = None) -> None:
        self._recipe = recipe
        alignment = recipe.sibling(recipe.reads_cache) / "alignment-1.jsonl"
        self._book = SampleBook(Path(recipe.data.folder), alignment)
        self._tasks = TaskWriter(tokenizer_folder, config)
        batch = recipe.batch
        self._sampler = BucketSampler(self._book.lengths, recipe.mix, batch.buckets, batch.rows)
        self._augmenter = SampleAugmenter(self._book, recipe.augmentation)

    def make(self, index: int) -> JointBatch:
        """Batch number `index`."""
        rng = np.random.default_rng((self._recipe.seed, 8, index))
        plan = self._sampler.plan(rng)
        audio = EncoderRows(plan.length)
        tasks = []
        for draw in plan.draws:
            sample = self._book.get(draw.kind, draw.clip, rng)
            augmented = self._augmenter.augment(sample, plan.length, rng)
            audio.add(sample, augmented, 0)
            truth = sample.truth.heard(augmented.time_scale, augmented.noise_label)
            tasks.append(self._tasks.write(truth, len(augmented.mel) // FRAMES_PER_TOKEN, rng))
        longest = -(-max(task.length for task in tasks) // _LENGTH_STEP) * _LENGTH_STEP
        ids, is_audio, targets = lay_out(tasks, longest, self._tasks.pad_id)
        batch = audio.batch()
        places = np.arange(plan.length // FRAMES_PER_TOKEN)
        token_mask = places < (batch.num_frames // FRAMES_PER_TOKEN)[:, None]
        return JointBatch(batch, token_mask, ids, is_audio.astype(bool), targets)
