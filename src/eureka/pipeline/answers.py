"""One answer of the decoder about one stretch of embeddings: generate, count, mend a loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from uuid import uuid4

from eureka.engine.request import Label, LabelScores, Request
from eureka.pipeline.protocols import AudioEmbeddings, TextDecoder
from eureka.text.prompts import Prompt
from eureka.types import Ending, Pcm, SamplingParams, Task, Usage

_LONGEST_LOOP_TOKENS = 64
"""Longest pattern looked for when a loop is collapsed; the engine's own limit is below this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Generated ids, without the end token, and how the generation ended."""

    token_ids: tuple[int, ...]
    ending: Ending
    usage: Usage


class Answerer:
    """Sends requests to a decoder and gathers their deltas.

    Args:
        decoder: the engine.
        now: seconds of a growing clock, for usage.
    """

    def __init__(self, decoder: TextDecoder, now: Callable[[], float]) -> None:
        self._decoder = decoder
        self._now = now
        self._prefix = uuid4().hex[:12]
        self._numbers = count()

    def answer(
        self,
        prompt: Prompt,
        embeddings: AudioEmbeddings,
        sampling: SamplingParams,
        deadline: float | None,
        on_ids: Callable[[Sequence[int]], None] | None = None,
    ) -> Answer:
        """Generate to the end; `on_ids` sees new ids as they come."""
        started = self._now()
        ids: list[int] = []
        ending, usage = Ending.ERROR, Usage()
        for delta in self._decoder.generate(self._request(prompt, embeddings, sampling, deadline)):
            ids += delta.token_ids
            if on_ids is not None and delta.token_ids:
                on_ids(delta.token_ids)
            ending, usage = delta.ending or ending, delta.usage or usage
        seconds = {"generate": self._now() - started}
        counted = Usage(usage.prompt_tokens or len(prompt.prompt_ids), len(ids), seconds)
        return Answer(tuple(ids), ending, counted)

    def score(
        self,
        prompt: Prompt,
        embeddings: AudioEmbeddings,
        labels: Sequence[Label],
        deadline: float | None,
    ) -> tuple[LabelScores, Usage]:
        """Scores of a closed set, and what they cost."""
        started = self._now()
        scores = self._decoder.score(self._request(prompt, embeddings, SamplingParams(), deadline), labels)
        seconds = {"score": self._now() - started}
        return scores, Usage(scores.usage.prompt_tokens or len(prompt.prompt_ids), 0, seconds)

    def _request(
        self, prompt: Prompt, embeddings: AudioEmbeddings, sampling: SamplingParams, deadline: float | None
    ) -> Request:
        return Request(
            request_id=f"{self._prefix}-{next(self._numbers)}",
            prompt_ids=prompt.prompt_ids,
            token_type_ids=prompt.token_type_ids,
            audio_embeddings=embeddings,
            sampling=sampling,
            deadline=deadline,
        )


def add_usage(first: Usage, second: Usage) -> Usage:
    """Sum of two usages, stage by stage."""
    stages = dict.fromkeys([*first.seconds, *second.seconds])
    return Usage(
        first.prompt_tokens + second.prompt_tokens,
        first.generated_tokens + second.generated_tokens,
        {stage: first.seconds.get(stage, 0.0) + second.seconds.get(stage, 0.0) for stage in stages},
    )


def seeded(sampling: SamplingParams, pcm: Pcm, task: Task, attempt: int) -> SamplingParams:
    """`sampling` with the seed of this window: it depends on audio, task, attempt and given seed only.

    So two runs over the same audio agree, whatever ran before or beside them.
    """
    digest = hashlib.sha256(pcm.tobytes())
    digest.update(f"|{task.value}|{attempt}|{sampling.seed}".encode())
    return replace(sampling, seed=int.from_bytes(digest.digest()[:4], "big"))


def collapse_loop(ids: Sequence[int]) -> tuple[int, ...]:
    """The ids with a pattern that fills their end in three or more copies kept once."""
    for period in range(1, min(_LONGEST_LOOP_TOKENS, len(ids) // 3) + 1):
        run = _matching_tail(ids, period)
        if run >= 2 * period:
            return tuple(ids[: len(ids) - run])
    return tuple(ids)


def _matching_tail(ids: Sequence[int], period: int) -> int:
    """How many of the last ids equal the one `period` places before."""
    run = 0
    for place in range(len(ids) - 1, period - 1, -1):
        if ids[place] != ids[place - period]:
            break
        run += 1
    return run
