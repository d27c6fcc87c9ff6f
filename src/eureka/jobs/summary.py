"""A summary of the whole audio: text-only turns over what its windows said, in levels when that is long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from eureka.errors import EurekaError
from eureka.jobs.outcome import Failure
from eureka.jobs.result import TRACK_NAMES, TrackSegment
from eureka.pipeline.answers import Answerer
from eureka.pipeline.protocols import TextDecoder
from eureka.types import (
    Instruction,
    Priority,
    SamplingParams,
    Task,
    TextPart,
    TextRequest,
    Turn,
)

GROUP_LETTERS = 6_000
"""Letters of one turn: about 2,000 tokens, half of the smallest context that is served."""

SUMMARY_TOKENS = 256
"""Longest summary, and longest part of one."""

ASKED = "Below is what was heard in a recording, line by line with times. Summarise it in a few sentences."
"""Stands before the lines."""


class Summarizer:
    """Summarises the segments of a job.

    Args:
        decoder: of a checkpoint that answers without audio.
        now: seconds of a growing clock.
    """

    def __init__(self, decoder: TextDecoder, now: Callable[[], float] = time.perf_counter) -> None:
        self._decoder = decoder
        self._answerer = Answerer(decoder, now)

    def summarize(self, segments: Sequence[TrackSegment]) -> dict[str, Any]:
        """{"text", "ending"}, or {"error"} where the checkpoint cannot do it; never costs the result.

        Raises:
            EurekaError: a part that serves is away (`is_retryable`).
        """
        lines = [_line(timed) for timed in segments]
        if not lines:
            return {"text": "", "ending": "STOP"}
        try:
            while len(groups := list(_groups(lines))) > 1:
                lines = [self._answer(group)[0] for group in groups]
            text, ending = self._answer(groups[0])
        except EurekaError as error:
            if error.is_retryable:
                raise
            return {"error": Failure.of(error).to_plain()}
        return {"text": text, "ending": ending}

    def _answer(self, lines: Sequence[str]) -> tuple[str, str]:
        text = "\n".join([ASKED, "", *lines])
        instruction = Instruction(Task.ASK, turns=(Turn("user", (TextPart(text),)),))
        self._decoder.check(instruction)
        request = TextRequest(
            instruction,
            np.zeros((0, 0), np.float32),
            SamplingParams(max_new_tokens=SUMMARY_TOKENS),
            priority=Priority.BULK,
        )
        answer = self._answerer.answer(request)
        return " ".join(answer.text.split())[: GROUP_LETTERS // 4], answer.ending.value


def _groups(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines that fit one turn together; a line alone always fits, cut if it must be."""
    group: list[str] = []
    letters = 0
    for line in lines:
        cut = line[:GROUP_LETTERS]
        if group and letters + len(cut) > GROUP_LETTERS:
            yield group
            group, letters = [], 0
        group.append(cut)
        letters += len(cut) + 1
    if group:
        yield group


def _line(timed: TrackSegment) -> str:
    start, end = timed.times
    return f"{start:.0f}-{end:.0f} s, {TRACK_NAMES[timed.task]}: {timed.segment.text}"
