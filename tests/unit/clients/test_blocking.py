"""Worker threads over an event loop: results, errors, and the end of all of them at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import pytest_asyncio

from eureka.clients.blocking import BoundCall, BoundDecoder, BoundEmbedder
from eureka.engine.request import LabelScores
from eureka.errors import CancelledError, InvalidInputError, PromptTooLongError, StageUnavailableError
from eureka.types import (
    CallContext,
    Ending,
    Instruction,
    ModelCard,
    Pcm,
    Priority,
    Task,
    TextDelta,
    TextPart,
    TextRequest,
    Turn,
    Usage,
)

T = TypeVar("T")

CARD = ModelCard("tiny", {"en": "English"}, 100, 10.0, None, 1.0)
REQUEST = TextRequest(Instruction(Task.CAPTION), np.zeros((1, 2), np.float32))


class SlowStages:
    """Stages that answer, fail, or take as long as they are let."""

    def __init__(self) -> None:
        self.contexts: list[CallContext] = []
        self.is_closed = asyncio.Event()

    async def embed(self, items: Sequence[Pcm], context: CallContext) -> Any:
        self.contexts.append(context)
        if len(items) > 1:
            await asyncio.sleep(60)
        return np.ones((len(items), 2), np.float32)

    async def generate(self, request: TextRequest, context: CallContext) -> AsyncGenerator[TextDelta, None]:
        try:
            yield TextDelta("one", (1,))
            if request.deadline is not None:
                raise StageUnavailableError("gone", reason="MODEL_GONE")
            if request.priority == 3:
                await asyncio.sleep(60)
            yield TextDelta(" two", (2,), ending=Ending.STOP, usage=Usage(3, 2, {"wait": 0.5, "decode": 1.0}))
        finally:
            self.is_closed.set()

    async def score(self, request: TextRequest, labels: Sequence[str], context: CallContext) -> LabelScores:
        return LabelScores(tuple(labels), (-1.0,) * len(labels), Usage(seconds={"wait": 0.25}))


@pytest_asyncio.fixture
async def stages() -> AsyncIterator[SlowStages]:
    yield SlowStages()


@pytest_asyncio.fixture
async def call() -> BoundCall:
    return BoundCall(asyncio.get_running_loop(), CallContext("bound"))


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(work), 10)


async def test_embedder_gives_rows_with_the_context_of_the_call(stages: SlowStages, call: BoundCall) -> None:
    rows = await in_thread(lambda: BoundEmbedder(stages, call).embed([np.zeros(3, np.float32)]))

    assert rows.shape == (1, 2)
    assert stages.contexts == [call.context]


async def test_decoder_gives_deltas_and_adds_up_stage_seconds(stages: SlowStages, call: BoundCall) -> None:
    decoder = BoundDecoder(stages, call, CARD)

    deltas = await in_thread(lambda: list(decoder.generate(REQUEST)))
    scores = await in_thread(lambda: decoder.score(REQUEST, ["a", "b"]))

    assert [delta.text for delta in deltas] == ["one", " two"]
    assert scores.names == ("a", "b")
    assert call.stage_seconds == {"wait": 0.75}


async def test_decoder_errors_come_after_the_deltas_before_them(stages: SlowStages, call: BoundCall) -> None:
    seen: list[str] = []

    def read() -> None:
        request = TextRequest(REQUEST.instruction, REQUEST.audio_embeddings, deadline=1.0)
        seen.extend(delta.text for delta in BoundDecoder(stages, call, CARD).generate(request))

    with pytest.raises(StageUnavailableError):
        await in_thread(read)
    assert stages.is_closed.is_set()


async def test_cancel_wakes_waiting_threads_at_once(stages: SlowStages, call: BoundCall) -> None:
    request = TextRequest(REQUEST.instruction, REQUEST.audio_embeddings, priority=Priority.INTERACTIVE)
    two = [np.zeros(3, np.float32)] * 2
    waits: list[Callable[[], object]] = [
        lambda: BoundEmbedder(stages, call).embed(two),
        lambda: list(BoundDecoder(stages, call, CARD).generate(request)),
    ]
    threads = [asyncio.ensure_future(in_thread(wait)) for wait in waits]
    await asyncio.sleep(0.1)

    started = time.monotonic()
    call.cancel()
    ended = await asyncio.gather(*threads, return_exceptions=True)

    assert [type(error) for error in ended] == [CancelledError, CancelledError]
    assert time.monotonic() - started < 1.0
    await asyncio.wait_for(stages.is_closed.wait(), 1.0)


async def test_cancelled_call_takes_no_more_work(stages: SlowStages, call: BoundCall) -> None:
    call.cancel()

    with pytest.raises(CancelledError):
        await in_thread(lambda: BoundEmbedder(stages, call).embed([np.zeros(3, np.float32)]))
    with pytest.raises(CancelledError):
        await in_thread(lambda: list(BoundDecoder(stages, call, CARD).generate(REQUEST)))
    assert stages.contexts == []


async def test_generator_that_is_left_early_cancels_the_answer(stages: SlowStages, call: BoundCall) -> None:
    request = TextRequest(REQUEST.instruction, REQUEST.audio_embeddings, priority=Priority.INTERACTIVE)

    def read_one() -> None:
        deltas = BoundDecoder(stages, call, CARD).generate(request)
        next(deltas)
        deltas.close()  # type: ignore[attr-defined]  # it is a generator

    await in_thread(read_one)
    await asyncio.wait_for(stages.is_closed.wait(), 1.0)


async def test_no_thread_lingers(stages: SlowStages, call: BoundCall) -> None:
    two = [np.zeros(1, np.float32)] * 2
    work = threading.Thread(target=lambda: _swallow(lambda: BoundEmbedder(stages, call).embed(two)))
    work.start()
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.to_thread(work.join, 1.0)
    assert not work.is_alive()


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (Instruction(Task.TRANSCRIBE, "Klingon"), "UNSUPPORTED_LANGUAGE"),
        (Instruction(Task.ASK), "EMPTY_CONVERSATION"),
        (Instruction(Task.ASK, turns=(Turn("robot", (TextPart("a"),)),)), "UNKNOWN_ROLE"),
        (Instruction(Task.ASK, turns=(Turn("user", ()),)), "EMPTY_TURN"),
        (Instruction(Task.ASK, turns=(Turn("user", (TextPart(" "),)),)), "EMPTY_QUESTION"),
    ],
)
async def test_check_refuses_what_the_decoder_would(
    stages: SlowStages, call: BoundCall, instruction: Instruction, reason: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        BoundDecoder(stages, call, CARD).check(instruction)
    assert caught.value.reason == reason


async def test_check_takes_names_and_codes_and_refuses_endless_text(
    stages: SlowStages, call: BoundCall
) -> None:
    decoder = BoundDecoder(stages, call, CARD)
    for language in ("en", "English", " EN ", None):
        decoder.check(Instruction(Task.TRANSCRIBE, language))
    with pytest.raises(PromptTooLongError):
        decoder.check(Instruction(Task.ASK, turns=(Turn("user", (TextPart("a" * 3_201),)),)))


def _swallow(work: Callable[[], object]) -> None:
    with pytest.raises(CancelledError):
        work()
