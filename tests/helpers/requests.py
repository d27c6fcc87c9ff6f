"""Requests for engine tests: random prompts with audio in the middle, all from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from eureka.engine.request import AUDIO_TOKEN_TYPE, Request
from eureka.types import SamplingParams

WIDTH = 64
"""Embedding width of the tiny model."""

END_TOKEN = 5
"""End token of engine tests; prompts hold ids from 10 on."""


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def make_request(
    number: int,
    length: int = 20,
    num_audio: int = 6,
    request_id: str | None = None,
    deadline: float | None = None,
    priority: int = 0,
    **sampling: Any,
) -> Request:
    """A prompt of `length` tokens whose positions 2 to 2 + num_audio hold audio."""
    rng = np.random.default_rng(number)
    types = np.zeros(length, dtype=np.int64)
    types[2 : 2 + num_audio] = AUDIO_TOKEN_TYPE
    return Request(
        request_id=request_id or f"request-{number}",
        prompt_ids=rng.integers(10, 640, length),
        token_type_ids=types,
        audio_embeddings=rng.standard_normal((num_audio, WIDTH)).astype(np.float32),
        sampling=SamplingParams(**{"max_new_tokens": 12, **sampling}),
        deadline=deadline,
        priority=priority,
    )
