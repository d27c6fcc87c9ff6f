"""The checkpoint in this process as the truth about token ids, generated and teacher-forced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from eureka.engine.backend import Prefill
from eureka.engine.engine import Engine
from eureka.engine.logit_rules import penalise_repetition
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.engine.request import Floats
from eureka.model.weights import load_checkpoint
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.text.answers import instruction_prompt
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Ending, Pcm, TextRequest


@dataclass(frozen=True, slots=True)
class AnsweredIds:
    """A greedy answer."""

    ids: tuple[int, ...]
    text: str
    ending: Ending | None

    @property
    def num_steps(self) -> int:
        """Choices made: the end token is one, too."""
        return len(self.ids) + (self.ending is Ending.STOP)


@dataclass(frozen=True, slots=True)
class ForcedStep:
    """One step of an answer that the reference was led along.

    Attributes:
        is_same: the reference would have chosen the same id.
        gap: between the two best logits, after the repetition penalty, by which ids are chosen.
    """

    is_same: bool
    gap: float


class ReferenceIds:
    """One request at a time, nobody beside it.

    Args:
        folder: of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)  # threads that spin while they wait lose on a machine with other work
        model, _ = load_checkpoint(folder)
        tokenizer = Tokenizer.from_folder(folder)
        self._penalty = model.config.repetition_penalty
        self._end_id = tokenizer.end_id
        self._embedder = reference_embedder(model)
        self._prompts = PromptBuilder(tokenizer, model.config)
        self._backend = ReferenceBackend(model.backbone, 1)
        engine = Engine(self._backend, tokenizer.end_id, repetition_penalty=self._penalty)
        self._decoder = EngineDecoder(engine, tokenizer, self._prompts)

    def embed(self, pcm: Pcm) -> Floats:
        """Rows (A, W) of one item."""
        rows: Floats = self._embedder.embed([pcm])
        return rows

    def answer(self, request: TextRequest) -> AnsweredIds:
        """What the engine generates."""
        deltas = list(self._decoder.generate(request))
        ids = tuple(token_id for delta in deltas for token_id in delta.token_ids)
        return AnsweredIds(ids, "".join(delta.text for delta in deltas), deltas[-1].ending)

    def forced(self, request: TextRequest, answer: AnsweredIds) -> list[ForcedStep]:
        """Each step of an answer that somebody else gave, its end token counted if it stopped."""
        prompt = instruction_prompt(self._prompts, request.instruction, len(request.audio_embeddings))
        ids = [*answer.ids, self._end_id] if answer.ending is Ending.STOP else list(answer.ids)
        return list(self._steps(prompt, request, ids))

    def without_end(self, request: TextRequest) -> TextRequest:
        """The same question, its answer as long as it may be: the end token is never chosen."""
        return replace(request, sampling=replace(request.sampling, ban_token_ids=(self._end_id,)))

    def _steps(self, prompt: Prompt, request: TextRequest, ids: Sequence[int]) -> Iterator[ForcedStep]:
        seen = np.zeros(self._backend.vocab_size, dtype=np.bool_)
        seen[prompt.prompt_ids] = True
        positions = np.flatnonzero(prompt.token_type_ids == 3)
        prefill = Prefill(0, prompt.prompt_ids, positions, request.audio_embeddings)
        logits = self._backend.prefill([prefill])[0]
        for token_id in ids:
            scores = logits.copy()
            scores[seen] = penalise_repetition(logits[seen], self._penalty)
            scores[list(request.sampling.ban_token_ids)] = -np.inf
            second, first = np.partition(scores, -2)[-2:]
            yield ForcedStep(int(scores.argmax()) == token_id, float(first - second))
            seen[token_id] = True
            logits = self._backend.decode([0], [token_id])[0]
        self._backend.release(0)


def with_rows(request: TextRequest, rows: Floats) -> TextRequest:
    """The same question about other embeddings."""
    return replace(request, audio_embeddings=rows)
