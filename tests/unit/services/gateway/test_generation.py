"""Deltas that are joined while the wire is busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from eureka.errors import StageUnavailableError
from eureka.types import Ending, TextDelta, Usage
from services.gateway.generation import coalesced


class Source:
    """Gives deltas as fast as they are read, then an end or an error."""

    def __init__(self, num_deltas: int, error: Exception | None = None, is_endless: bool = False) -> None:
        self._num_deltas, self._error, self._is_endless = num_deltas, error, is_endless
        self.is_closed = False

    async def deltas(self) -> AsyncGenerator[TextDelta, None]:
        try:
            for number in range(self._num_deltas):
                yield TextDelta(f"{number} ", (number,))
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
            if self._is_endless:
                await asyncio.sleep(60)
            yield TextDelta("end", (), ending=Ending.STOP, usage=Usage(3, self._num_deltas))
        finally:
            self.is_closed = True


async def read(source: Source, pause_seconds: float) -> list[TextDelta]:
    deltas = []
    async for delta in coalesced(source.deltas()):
        deltas.append(delta)
        await asyncio.sleep(pause_seconds)
    return deltas


@pytest.mark.parametrize("pause_seconds", [0.0, 0.01])
async def test_joined_deltas_are_the_answer(pause_seconds: float) -> None:
    deltas = await read(Source(50), pause_seconds)

    assert "".join(delta.text for delta in deltas) == "".join(f"{n} " for n in range(50)) + "end"
    assert [i for delta in deltas for i in delta.token_ids] == list(range(50))
    assert [delta.ending for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].usage == Usage(3, 50)


async def test_slow_reader_gets_several_tokens_a_message() -> None:
    assert len(await read(Source(50), 0.01)) < 10


async def test_first_delta_does_not_wait_for_others() -> None:
    source = Source(1, is_endless=True)
    deltas = coalesced(source.deltas())

    assert (await asyncio.wait_for(anext(deltas), 1.0)).text == "0 "
    await deltas.aclose()
    assert source.is_closed


async def test_error_comes_after_what_was_said() -> None:
    seen = []
    with pytest.raises(StageUnavailableError):
        async for delta in coalesced(Source(2, StageUnavailableError("gone")).deltas()):
            seen.append(delta.text)
    assert "".join(seen) == "0 1 "
