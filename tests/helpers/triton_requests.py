"""Requests to a real Triton, what comes back, and its metrics."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import numpy as np

from eureka.engine.request import AUDIO_TOKEN_TYPE, Delta, Request
from eureka.runtime.triton import TritonLauncher
from eureka.text.tokenizer import Tokenizer
from eureka.types import SamplingParams

LONG = SamplingParams(max_new_tokens=4000, temperature=1.0, seed=1)


def prompt(number: int, num_audio: int = 6, sampling: SamplingParams | None = None, **more: Any) -> Request:
    rng = np.random.default_rng(number)
    types = np.zeros(num_audio + 8, dtype=np.int64)
    types[2 : 2 + num_audio] = AUDIO_TOKEN_TYPE
    return Request(
        request_id=more.pop("request_id", f"request-{number}-{time.monotonic_ns()}"),
        prompt_ids=rng.integers(300, 600, len(types)),
        token_type_ids=types,
        audio_embeddings=rng.standard_normal((num_audio, 64)).astype(np.float32),
        sampling=sampling or SamplingParams(max_new_tokens=40),
        **more,
    )


def long_prompt(number: int, tokenizer: Tokenizer, **more: Any) -> Request:
    """One whose answer takes some seconds."""
    sampling = SamplingParams(**{**_fields(LONG), "ban_token_ids": (tokenizer.end_id,), "seed": number})
    return prompt(number, sampling=sampling, **more)


def _fields(params: SamplingParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in params.__slots__}


async def collect(stream: AsyncGenerator[Delta, None]) -> list[Delta]:
    async with aclosing(stream) as deltas:
        return [delta async for delta in deltas]


def ids_of(deltas: list[Delta]) -> list[int]:
    return [token_id for delta in deltas for token_id in delta.token_ids]


def metrics(triton: TritonLauncher) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{triton.config.metrics_address}/metrics", timeout=5) as reply:
        lines = re.findall(r"^(eureka_\S+) (\S+)$", reply.read().decode(), re.MULTILINE)
    return {_short(name): float(value) for name, value in lines}


def _short(name: str) -> str:
    """Without the label that all metrics of Triton's models have."""
    return name.replace('{component="triton"}', "").replace('component="triton",', "")
