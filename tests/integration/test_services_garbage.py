"""Garbage messages to the gateway: each is answered, or refused with a reason; nothing else suffers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2 as content
from eureka.clients.status import error_of
from eureka.errors import InvalidInputError, NotFoundError
from eureka.runtime.triton import TritonLauncher
from tests.helpers.gateway_stack import Stack, noise, running_stack, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

TINY_WAV = wav(noise(0.1, 9))

texts = st.text(max_size=8)
small = st.integers(0, 2**32 - 1) | st.integers(0, 5)
floats = st.floats(width=32)
audios = st.builds(
    content.Audio,
    content=st.binary(max_size=64) | st.just(TINY_WAV),
    channel=st.builds(content.Channel, mode=st.integers(0, 5), index=small),
) | st.builds(content.Audio, upload=texts)
samplings = st.builds(
    content.SamplingParams,
    max_new_tokens=st.none() | st.integers(0, 8) | small,
    temperature=st.none() | floats,
    top_k=st.none() | small,
    top_p=st.none() | floats,
    repetition_penalty=st.none() | floats,
    seed=st.none() | st.integers(0, 2**64 - 1),
    stop=st.lists(texts, max_size=9),
    top_logprobs=st.none() | st.integers(0, 25),
)
parts = st.builds(content.Part, text=texts) | st.builds(content.Part, audio=audios) | st.just(content.Part())
turns = st.builds(content.Turn, role=st.integers(0, 4), parts=st.lists(parts, max_size=3))
conversations = st.lists(turns, max_size=3)
models = st.just("") | texts
priorities = st.integers(0, 5)
durations = st.none() | st.builds(
    dict, seconds=st.integers(-(2**40), 2**40), nanos=st.integers(-(2**31), 2**31 - 1)
)
messages = st.one_of(
    st.builds(
        api.TranscribeRequest,
        model=models,
        audio=audios,
        language=texts,
        sampling=samplings,
        priority=priorities,
        max_window_duration=durations,
    ),
    st.builds(api.CaptionRequest, model=models, audio=audios, sampling=samplings, priority=priorities),
    st.builds(api.AskRequest, model=models, conversation=conversations, sampling=samplings),
    st.builds(api.GenerateRequest, model=models, conversation=conversations, sampling=samplings),
    st.builds(
        api.ClassifyRequest,
        model=models,
        audio=audios,
        labels=st.lists(texts, max_size=4),
        abstain_below=st.none() | floats,
    ),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(
    triton: TritonLauncher, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("uploads")
    async with running_stack(triton.config.grpc_address, tiny_checkpoint, folder) as stack:
        yield stack


async def answered(stack: Stack, request: Message) -> None:
    """A request is answered, or refused with a reason; never INTERNAL."""
    call = getattr(stack.fused.audio, type(request).__name__.removesuffix("Request"))(request)
    try:
        if isinstance(request, api.GenerateRequest):
            _ = [message async for message in call]
        else:
            await call
    except grpc.aio.AioRpcError as rpc_error:
        error = error_of(rpc_error)
        assert isinstance(error, InvalidInputError | NotFoundError), f"{error!r} after {request}"


def fuzz(stack: Stack, num_cases: int, loop: asyncio.AbstractEventLoop) -> None:
    @settings(max_examples=num_cases, deadline=None, derandomize=True, database=None)
    @given(messages)
    def case(request: Message) -> None:
        asyncio.run_coroutine_threadsafe(answered(stack, request), loop).result(60)

    case()


async def test_garbage_messages_are_refused_with_a_reason(stack: Stack) -> None:
    await asyncio.to_thread(fuzz, stack, 200, asyncio.get_running_loop())


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_much_garbage_is_refused_with_a_reason(stack: Stack) -> None:
    await asyncio.to_thread(fuzz, stack, 2_000, asyncio.get_running_loop())
