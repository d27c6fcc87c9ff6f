"""Answers that cannot stand are tried again: with other sampling, then in halves.

The embeddings of the window are used again each time, also for its halves: a window is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from eureka.pipeline.answers import Answer, Answerer, seeded
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.pipeline.stretches import Stretch, can_halve, halves
from eureka.types import Ending, Instruction, SamplingParams, Task, TextRequest

_FINAL = (Ending.CANCELLED, Ending.DEADLINE, Ending.ERROR)
"""Endings that another attempt would not mend."""


@dataclass(frozen=True, slots=True, eq=False)
class StretchAnswer:
    """The answer that stands for a stretch, and all attempts that were paid for."""

    stretch: Stretch
    answer: Answer
    attempts: tuple[Answer, ...]


class PersistentAnswerer:
    """Answers to one instruction about stretches, with the policy of retries.

    Args:
        answerer: sends one attempt.
        settings: holds the policy.
        instruction: what is asked; its task says what an empty answer means.
        options: of the call.
    """

    def __init__(
        self,
        answerer: Answerer,
        settings: ListenerSettings,
        instruction: Instruction,
        options: ListenOptions,
    ) -> None:
        self._answerer = answerer
        self._settings = settings
        self._instruction = instruction
        self._options = options

    def answer(self, stretch: Stretch) -> list[StretchAnswer]:
        """Answers whose stretches tile `stretch`: one, or those of its parts."""
        return self._answer(stretch, self._settings.retry.max_halvings)

    def _answer(self, stretch: Stretch, halvings_left: int) -> list[StretchAnswer]:
        attempts: list[Answer] = []
        for attempt in self._attempts(stretch):
            attempts.append(attempt)
            if attempt.ending in _FINAL or self._stands(attempt, stretch):
                return [StretchAnswer(stretch, attempt, tuple(attempts))]
        given_up = StretchAnswer(stretch, attempts[0], tuple(attempts))
        if not halvings_left or not self._can_halve(stretch):
            return [given_up]
        parts = [found for half in halves(stretch) for found in self._answer(half, halvings_left - 1)]
        if all(part.answer.is_empty and part.answer.ending is Ending.STOP for part in parts):
            paid = tuple(attempt for part in parts for attempt in part.attempts)
            return [replace(given_up, attempts=(*attempts, *paid))]
        # The parts carry the cost of the attempts on the whole.
        return [replace(parts[0], attempts=(*attempts, *parts[0].attempts)), *parts[1:]]

    def _attempts(self, stretch: Stretch) -> Iterator[Answer]:
        options = self._options
        for number, sampling in enumerate(self._samplings()):
            params = seeded(sampling, stretch.pcm, self._instruction.task, number)
            yield self._answerer.answer(
                TextRequest(self._instruction, stretch.embeddings, params, options.deadline, options.priority)
            )

    def _samplings(self) -> Iterator[SamplingParams]:
        first = self._options.sampling
        yield first
        for other in self._settings.retry.resamplings:
            yield replace(
                other,
                max_new_tokens=first.max_new_tokens,
                ban_token_ids=first.ban_token_ids,
                stop=first.stop,
                top_logprobs=first.top_logprobs,
                constraint=first.constraint,
            )

    def _stands(self, answer: Answer, stretch: Stretch) -> bool:
        if answer.ending is not Ending.STOP:
            return False
        has_speech = self._settings.has_speech
        is_transcript = self._instruction.task is Task.TRANSCRIBE
        if not answer.is_empty or not is_transcript or has_speech is None:
            return True
        return not has_speech(stretch)

    def _can_halve(self, stretch: Stretch) -> bool:
        return can_halve(stretch, self._settings.retry.shortest_half_seconds)
