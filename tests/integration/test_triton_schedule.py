"""What the engine's scheduling is like through Triton: the urgent go first, audio is prefilled once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eureka.clients.triton import TritonClient
from eureka.engine.request import AUDIO_TOKEN_TYPE, Request
from eureka.runtime.triton import TritonLauncher
from eureka.text.tokenizer import Tokenizer
from eureka.types import Priority
from tests.helpers.gateway_stack import until
from tests.helpers.triton_requests import collect, ids_of, long_prompt, metrics, prompt
from tests.integration.conftest import NUM_SLOTS

pytestmark = pytest.mark.asyncio


async def test_urgent_request_pauses_bulk_work_which_goes_on_afterwards(
    client: TritonClient, triton: TritonLauncher, tiny_checkpoint: Path
) -> None:
    tokenizer = Tokenizer.from_folder(tiny_checkpoint)
    before = metrics(triton)["eureka_pauses_total"]
    bulk = [
        client.generate(long_prompt(number, tokenizer, priority=Priority.BULK)) for number in range(NUM_SLOTS)
    ]
    for stream in bulk:
        await anext(stream)

    async with asyncio.timeout(5):  # the bulk answers would take longer
        answer = await collect(client.generate(prompt(9, priority=Priority.INTERACTIVE)))

    assert answer[-1].ending is not None
    await until(lambda: metrics(triton)["eureka_pauses_total"] > before)
    for stream in bulk:
        assert (await anext(stream)).ending is None
        await stream.aclose()
    await until(lambda: metrics(triton)["eureka_kv_slots_used"] == 0)


async def test_second_question_on_the_same_audio_prefills_only_the_question(
    client: TritonClient, triton: TritonLauncher
) -> None:
    first = prompt(11, num_audio=30)
    other_ids = first.prompt_ids.copy()
    other_ids[-3:] += 1
    await collect(client.generate(first))
    before = metrics(triton)

    answer = await collect(client.generate(replace(first, request_id="second", prompt_ids=other_ids)))

    await until(lambda: metrics(triton)["eureka_reused_tokens_total"] > before["eureka_reused_tokens_total"])
    after = metrics(triton)
    assert after["eureka_reused_tokens_total"] - before["eureka_reused_tokens_total"] == 32
    assert after["eureka_prompt_tokens_total"] - before["eureka_prompt_tokens_total"] == 6
    assert after["eureka_prefix_cache_bytes"] > 0
    fresh = fresh_audio(first, other_ids)
    assert ids_of(answer) == ids_of(await collect(client.generate(fresh)))


def fresh_audio(like: Request, ids: np.ndarray) -> Request:
    """The same question on audio that differs by less than matters, so that nothing is kept for it."""
    audio = like.audio_embeddings.copy()
    audio[0, 0] = np.nextafter(audio[0, 0], np.float32(np.inf))
    assert (like.token_type_ids == AUDIO_TOKEN_TYPE).sum() == len(audio)
    return replace(like, request_id="fresh", prompt_ids=ids, audio_embeddings=audio)
