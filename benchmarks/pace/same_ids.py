"""C8: whether exact numerics choose the reference's tokens, led along the same answers.

The same means the same ids, but at steps where the reference's two best logits lie less than `MAX_GAP` apart;
such steps are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from eureka.engine.backend import Backend
from eureka.engine.logit_rules import penalise_repetition
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.evaluation.sets import load_subset
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.training.manifest import read_manifest
from eureka.types import Pcm
from pace.figures import Row, Value
from pace.sides import Asked, Side, generate, to_prefill, torch_model
from pace.suite import Suite

MAX_GAP = 1e-3
MAX_TIED_PERCENT = 0.1
NUM_CLIPS, NUM_TOKENS = 100, 48
"""Answers go on past their end, so that there are enough steps to count a tenth of a percent in."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How often each kind of step was met.

    Attributes:
        num_same: the reference would have chosen the same.
        num_tied: another one, but its two best lie closer than `MAX_GAP`.
        num_other: another one.
    """

    num_same: int = 0
    num_tied: int = 0
    num_other: int = 0

    def __add__(self, more: Steps) -> Steps:
        return Steps(
            self.num_same + more.num_same, self.num_tied + more.num_tied, self.num_other + more.num_other
        )

    @property
    def num_all(self) -> int:
        """All steps."""
        return self.num_same + self.num_tied + self.num_other


def exact_ids(suite: Suite) -> Iterator[Row]:
    """Both sides encode for themselves; then the reference is led along our answers."""
    answers = _Answers(suite)
    pcms = dev_clips(suite.data_folder, suite.size(NUM_CLIPS, 8))
    steps = sum((answers.steps(pcm, suite.size(NUM_TOKENS, 8)) for pcm in pcms), Steps())
    note = f"{len(pcms)} dev clips, {steps.num_all} steps led along our answers, each side's own embeddings"
    allowed = 100 * (1 - steps.num_other / steps.num_all)
    yield Row("C8_exact", Value(allowed, "% of steps the same or tied, at least", 100.0), note)
    tied = 100 * steps.num_tied / steps.num_all
    yield Row("C8_ties", Value(tied, "% of steps that differ at a tie", MAX_TIED_PERCENT), note)


class _Answers:
    def __init__(self, suite: Suite) -> None:
        side, model = Side(suite.checkpoint), torch_model(suite.checkpoint)
        self._embedder, self._engine = side.embedder(), side.engine(num_slots=1)
        self._reference_embedder = reference_embedder(model)
        self._reference = ReferenceBackend(model.backbone, 1)
        self._prompts = PromptBuilder(Tokenizer.from_folder(suite.checkpoint), model.config)
        self._penalty = model.config.repetition_penalty

    def steps(self, pcm: Pcm, num_tokens: int) -> Steps:
        """Ours about a clip, judged by the reference."""
        rows = self._embedder.embed([pcm])
        prompt = self._prompts.transcribe(len(rows))
        ids = generate(self._engine, Asked(prompt, rows), num_tokens)
        judged = Asked(prompt, self._reference_embedder.embed([pcm]))
        return judge(self._reference, judged, ids, self._penalty)


def judge(reference: Backend, asked: Asked, ids: Sequence[int], penalty: float) -> Steps:
    """Lead `reference` along `ids` and count where it would have gone elsewhere.

    Args:
        reference: slot 0 is free, and is free again afterwards.
        asked: the question, with the reference's own embeddings.
        ids: an answer to it.
        penalty: of repetition, as the answer was decoded with.
    """
    seen = np.zeros(reference.vocab_size, dtype=np.bool_)
    seen[asked.prompt.prompt_ids] = True
    logits = reference.prefill([to_prefill(0, asked)])[0]
    steps = Steps()
    for token_id in ids:
        scores = logits.copy()
        scores[seen] = penalise_repetition(logits[seen], penalty)
        steps += kind_of_step(scores, token_id)
        seen[token_id] = True
        logits = reference.decode([0], [token_id])[0]
    reference.release(0)
    return steps


def kind_of_step(scores: np.ndarray, token_id: int) -> Steps:
    """One step: `scores` (V,) by which the reference chooses, and what was chosen."""
    second, first = np.partition(scores, -2)[-2:]
    if int(scores.argmax()) == token_id:
        return Steps(num_same=1)
    return Steps(num_tied=1) if first - second < MAX_GAP else Steps(num_other=1)


def dev_clips(data_folder: Path, count: int) -> list[Pcm]:
    """Dev clips of at most 10 s, one of each subset in turn."""
    subsets = sorted({row.subset for row in read_manifest(data_folder, "dev")})
    limit = -(-2 * count // len(subsets))  # enough though some are short of clips and some clips too long
    each = [load_subset(data_folder, subset, "dev", limit) for subset in subsets]
    in_turn = (clip for clip in chain.from_iterable(zip_longest(*each)) if clip is not None)
    return [clip.pcm for clip in in_turn if clip.seconds <= 10.0][:count]
