"""Batches of the decoder stage: cached encoder outputs, or glued ones, with prompt and answer.

Every row is prompt, answer and end token, padded to the right: under a causal mask no true position sees
the padding, so none is needed. Only answers carry a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.model.config import EurekaConfig
from eureka.text.prompts import AUDIO_TYPE
from eureka.training.buckets import BucketSampler
from eureka.training.encoder_cache import EncoderCache
from eureka.training.injected_texts import InjectedTexts
from eureka.training.losses import IGNORED
from eureka.training.recipe import Recipe
from eureka.training.samples import Truth
from eureka.training.tasks import TaskRow, TaskWriter
from eureka.training.text_generator import TextGenerator
from eureka.training.text_injection import glue

STACK = 4
"""Encoder frames in one audio token."""

INJECTED_KIND = "injected"

_SHIFTED_SHARE = 0.4
_NOISE = 0.15
_PROMPT_ROOM = 22
"""Positions of the layout around the audio, at most, for the tasks without a question."""


@dataclass(frozen=True, slots=True)
class DecoderBatch:
    """B rows of L positions.

    Attributes:
        input_ids: (B, L) int64.
        is_audio: (B, L) bool, where embeddings are spliced, row by row in order.
        targets: (B, L) int64: the next id where it belongs to an answer, else IGNORED.
        frames: (A, 4 * D) float32 stacked encoder outputs of all rows.
    """

    input_ids: NDArray[np.int64]
    is_audio: NDArray[np.bool_]
    targets: NDArray[np.int64]
    frames: NDArray[np.float32]


def lay_out(rows: Sequence[TaskRow], length: int, pad_id: int) -> tuple[NDArray[np.int64], ...]:
    """Arrays (B, L) of ids, audio places and targets of rows that fit `length`."""
    ids = np.full((len(rows), length), pad_id, np.int64)
    is_audio = np.zeros((len(rows), length), np.int64)
    targets = np.full((len(rows), length), IGNORED, np.int64)
    for number, row in enumerate(rows):
        start, end = len(row.prompt.prompt_ids), row.length
        ids[number, :start] = row.prompt.prompt_ids
        ids[number, start:end] = row.answer_ids
        is_audio[number, :start] = row.prompt.token_type_ids == AUDIO_TYPE
        targets[number, start - 1 : end - 1] = row.answer_ids
    return ids, is_audio, targets


class DecoderBatchMaker:
    """Makes numbered decoder batches over a cache; kind `injected` glues texts that nobody spoke.

    Args:
        recipe: mix, buckets and seed.
        cache_folder: cached encoder outputs.
        tokenizer_folder: holds tokenizer.json.
        config: prompts of the model; the nano's when None.
        texts: what `injected` says; drawn from the grammar when None and the mix asks for it.
    """

    def __init__(
        self,
        recipe: Recipe,
        cache_folder: Path,
        tokenizer_folder: Path,
        config: EurekaConfig | None = None,
        texts: InjectedTexts | None = None,
    ) -> None:
        self._recipe = recipe
        self._cache = EncoderCache(cache_folder)
        self._tasks = TaskWriter(tokenizer_folder, config)
        lengths = {k: self._estimate(numbers) for k, numbers in self._cache.kinds.items()}
        if texts is None and recipe.mix.get(INJECTED_KIND, 0) > 0:
            read = self._cache.read_texts()
            generator = TextGenerator(read, recipe.texts or None)
            texts = InjectedTexts(recipe.seed, self._cache.pieces(), read, generator=generator)
        if texts is not None:
            lengths[INJECTED_KIND] = texts.num_tokens + _PROMPT_ROOM + texts.num_characters // 3
        self._texts = texts
        self._sampler = BucketSampler(lengths, recipe.mix, recipe.batch.buckets, recipe.batch.rows)

    def _estimate(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        audio = self._cache.num_frames[numbers] // STACK
        answers = [self._tasks.longest_answer(self._cache.truths[n]) for n in numbers]
        return np.asarray(audio + _PROMPT_ROOM + np.array(answers), dtype=np.int64)

    def make(self, index: int) -> DecoderBatch:
        """Batch number `index`."""
        rng = np.random.default_rng((self._recipe.seed, 7, index))
        plan = self._sampler.plan(rng)
        rows, frames = [], []
        for draw in plan.draws:
            row, outputs = self._fitting(draw.kind, draw.clip, plan.length, rng)
            rows.append(row)
            frames.append(outputs.reshape(-1, STACK * outputs.shape[1]))
        ids, is_audio, targets = lay_out(rows, plan.length, self._tasks.pad_id)
        joined = np.concatenate(frames).astype(np.float32)
        joined += _NOISE * rng.random() * rng.standard_normal(joined.shape, np.float32)
        return DecoderBatch(ids, is_audio.astype(bool), targets, joined)

    def _fitting(
        self, kind: str, number: int, length: int, rng: np.random.Generator
    ) -> tuple[TaskRow, NDArray[np.float16]]:
        """A row that fits.

        Another task where the drawn one is too long, another text where gluing ran long.
        """
        for attempt in range(8):
            outputs, truth = self._draw(kind, number, rng)
            count = len(outputs) // STACK
            write = self._tasks.write if attempt < 6 else self._tasks.shortest
            row = write(truth, count, rng)
            if row.length <= length:
                return row, outputs
        if kind != INJECTED_KIND or self._texts is None:
            raise InvalidInputError(f"clip {number} of {kind} does not fit {length} positions")
        return self._fitting(kind, int(self._texts.num_tokens.argmin()), length, rng)

    def _draw(self, kind: str, number: int, rng: np.random.Generator) -> tuple[NDArray[np.float16], Truth]:
        if kind == INJECTED_KIND and self._texts is not None:
            ranges, truth = self._texts.draw(number, rng)
            return glue(self._cache.frames, ranges), truth
        clip = int(self._cache.kinds[kind][number])
        outputs = self._cache.outputs(clip)
        shift = int(rng.integers(STACK)) if rng.random() < _SHIFTED_SHARE and len(outputs) > 2 * STACK else 0
        end = shift + (len(outputs) - shift) // STACK * STACK
        return outputs[shift:end], self._cache.truths[clip]
