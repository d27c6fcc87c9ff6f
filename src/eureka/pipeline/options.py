"""How audio is heard: settings of the process, options of a call, and the policy of retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eureka.pipeline.stretches import Stretch
from eureka.types import Priority, SamplingParams, Task

UNTIMED_WINDOW_SECONDS = 8.0
"""Longest window where times are wanted and the model gives none (design 5)."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What happens to an answer that loops, does not end, or is empty where somebody speaks.

    Attributes:
        resamplings: sampling of each further attempt on the same embeddings; the seed is the window's.
        max_halvings: how often a window may be cut in two after that; 0 never.
        shortest_half_seconds: halves do not get shorter than this.
    """

    resamplings: tuple[SamplingParams, ...] = (
        SamplingParams(temperature=0.4, top_p=0.9, top_k=20, repetition_penalty=1.1),
        SamplingParams(temperature=0.8, top_p=0.9, top_k=40, repetition_penalty=1.2),
    )
    max_halvings: int = 1
    shortest_half_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What a listener is built with.

    Attributes:
        model: name of the checkpoint, for results.
        best_window_seconds: longest window that the checkpoint hears well.
        max_prompt_audio_seconds: audio that one question or classification may carry.
        silence_dbfs: a span is silent when every 100 ms of it lie below this level.
        retry: policy of retries.
        has_speech: tells whether somebody speaks; None takes every empty transcript at its word.
    """

    model: str
    best_window_seconds: float = 30.0
    max_prompt_audio_seconds: float = 120.0
    silence_dbfs: float = -70.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    has_speech: Callable[[Stretch], bool] | None = None


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Options of one call.

    Attributes:
        sampling: of the first attempt; what it says of length, bans, stop strings, log-probabilities and
            constraint holds for retries too.
        language: code or name, as a hint; transcripts only.
        max_window_seconds: upper bound on windows, on top of the checkpoint's own.
        deadline: time on the decoder's clock; what is not answered by then ends DEADLINE.
        priority: how urgent the call is.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    language: str | None = None
    max_window_seconds: float | None = None
    deadline: float | None = None
    priority: Priority = Priority.DEFAULT

    def for_subtitles(self, task: Task, has_time_tokens: bool) -> ListenOptions:
        """The same options with windows short enough for subtitles where the model gives no times.

        Time tokens stand in captions only; transcripts have the times of their windows.
        """
        if task is Task.CAPTION and has_time_tokens:
            return self
        longest = min(self.max_window_seconds or UNTIMED_WINDOW_SECONDS, UNTIMED_WINDOW_SECONDS)
        return replace(self, max_window_seconds=longest)


DEFAULT_OPTIONS = ListenOptions()
"""Greedy, no hint, no deadline."""
