"""Calls are ended by model, and each tells the right reason."""

from __future__ import annotations

import asyncio

import pytest

from eureka.clients.open_calls import OpenCalls
from eureka.errors import StageUnavailableError


class Call:
    """Waits until it is cancelled, as a call of gRPC does."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def cancel(self) -> bool:
        return self._answer.cancel()

    async def wait(self, calls: OpenCalls, model: str) -> str:
        with calls.holding(model, self):
            return await self._answer


async def test_calls_of_the_model_that_is_gone_are_ended_and_no_others() -> None:
    calls = OpenCalls()
    gone, other = (asyncio.create_task(Call().wait(calls, model)) for model in ("decoder", "encoder"))
    await asyncio.sleep(0)

    calls.end("decoder")

    with pytest.raises(StageUnavailableError) as caught:
        await gone
    assert caught.value.reason == "MODEL_GONE"
    assert not other.done()
    other.cancel()


async def test_call_whose_caller_is_cancelled_or_that_ends_by_itself_is_not_gone() -> None:
    calls = OpenCalls()
    leaving = asyncio.create_task(Call().wait(calls, "decoder"))
    both = asyncio.create_task(Call().wait(calls, "decoder"))
    lone = Call()
    cancelled = asyncio.create_task(lone.wait(calls, "encoder"))
    await asyncio.sleep(0)

    leaving.cancel()
    both.cancel()
    lone.cancel()
    calls.end("decoder")

    results = await asyncio.gather(leaving, both, cancelled, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3


async def test_call_after_the_end_is_open() -> None:
    calls = OpenCalls()
    calls.end("decoder")
    waiting = asyncio.create_task(Call().wait(calls, "decoder"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
