"""One answer of the decoder about one stretch of embeddings: gather its deltas, count, seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eureka.engine.request import LabelScores
from eureka.pipeline.protocols import TextDecoder
from eureka.types import Ending, Pcm, Phrase, SamplingParams, Task, TextDelta, TextRequest, Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and how the generation ended.

    Attributes:
        text: all deltas joined.
        phrases: the same with time marks; a loop that fills the end is said once.
        ending: how it ended.
        usage: what it cost.
    """

    text: str
    phrases: tuple[Phrase, ...]
    ending: Ending
    usage: Usage

    @property
    def num_tokens(self) -> int:
        """Tokens generated, those without text counted."""
        return self.usage.generated_tokens

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said, be there tokens or not."""
        return not self.text


class Answerer:
    """Sends requests to a decoder and gathers their deltas.

    Args:
        decoder: of the checkpoint.
        now: seconds of a growing clock, for usage.
    """

    def __init__(self, decoder: TextDecoder, now: Callable[[], float]) -> None:
        self._decoder = decoder
        self._now = now

    def answer(self, request: TextRequest, on_delta: Callable[[TextDelta], None] | None = None) -> Answer:
        """Generate to the end; `on_delta` sees the deltas as they come."""
        started = self._now()
        texts: list[str] = []
        num_tokens = 0
        last = TextDelta(ending=Ending.ERROR)  # of a decoder that gives no delta at all
        for delta in self._decoder.generate(request):
            texts.append(delta.text)
            num_tokens += len(delta.token_ids)
            last = delta
            if on_delta is not None:
                on_delta(delta)
        prompt_tokens = last.usage.prompt_tokens if last.usage else 0
        usage = Usage(prompt_tokens, num_tokens, {"generate": self._now() - started})
        return Answer("".join(texts), last.phrases, last.ending or Ending.ERROR, usage)

    def score(self, request: TextRequest, labels: Sequence[str]) -> tuple[LabelScores, Usage]:
        """Scores of a closed set, and what they cost."""
        started = self._now()
        scores = self._decoder.score(request, labels)
        return scores, Usage(scores.usage.prompt_tokens, 0, {"score": self._now() - started})


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
