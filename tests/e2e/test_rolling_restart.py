"""`eureka restart` under load: streams come to their end, nothing breaks, no connection is refused."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_types import AnswerEnd, ChatTurn
from eureka.types import Constraint, Ending, SamplingParams
from tests.helpers.stack_user import StackUser

pytestmark = pytest.mark.timeout(240)

NUM_STREAMS, NUM_UNARY = 20, 4
NUM_ROUNDS = 5
"""Of the long form, each over five services."""

NEW_TOKENS = 256
"""A second or two of one stream beside so many others."""

TURNS = [
    ChatTurn("user", ("hello",)),
    ChatTurn("assistant", ("hello",)),
    ChatTurn("user", ("tell me more",)),
]
NO_END = "[a-z ]{4000}"


@dataclass
class Load:
    """What became of the calls that ran all the while.

    Attributes:
        num_in_flight: streams that have begun and not ended.
        num_streams: answers that came in deltas, with their end.
        num_unary: whole answers.
        failures: what went wrong, in words.
        longest_seconds: of a whole answer.
        num_connections: to the gateway's port, all accepted.
    """

    num_in_flight: int = 0
    num_streams: int = 0
    num_unary: int = 0
    failures: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    num_connections: int = 0


@pytest.fixture(scope="module")
def stack(user: StackUser) -> Iterator[StackUser]:
    # Room for all streams at a time, so that each of them is in flight.
    user.environment |= {
        "EUREKA_TRITON__NUM_SLOTS": str(NUM_STREAMS + NUM_UNARY),
        "EUREKA_STACK__WORKERS": "0",
    }
    user.run("up", "--detach", "--decoders", "2")
    yield user


@asynccontextmanager
async def _loaded(stack: StackUser) -> AsyncIterator[Load]:
    """Streams, whole answers and fresh connections without a pause inside the block."""
    gateway, load, over = stack.components()["gateway"]["address"], Load(), asyncio.Event()
    async with AsyncGatewayClient(gateway, timeout_seconds=90) as client:
        callers = [asyncio.create_task(_streams(client, load, over, seed)) for seed in range(NUM_STREAMS)]
        callers += [asyncio.create_task(_answers(client, load, over)) for _ in range(NUM_UNARY)]
        callers.append(asyncio.create_task(_connections(gateway, load, over)))
        async with asyncio.timeout(60):
            while load.num_streams < NUM_STREAMS:  # all are under way
                assert load.failures == []
                await asyncio.sleep(0.1)
        try:
            yield load
        finally:
            over.set()
            async with asyncio.timeout(90):
                await asyncio.gather(*callers)


async def _streams(client: AsyncGatewayClient, load: Load, over: asyncio.Event, seed: int) -> None:
    while not over.is_set():
        try:
            ends = await _ends(client, load, seed)
            assert len(ends) == 1 and ends[0].ending in (Ending.LENGTH, Ending.REPETITION), ends
            load.num_streams += 1
        except Exception as error:
            load.failures.append(f"stream: {type(error).__name__} {error}")


def _long(seed: int) -> SamplingParams:
    """An answer goes on to its limit, as it may not end before; no two streams end at the same time."""
    return SamplingParams(
        NEW_TOKENS + 8 * seed, temperature=1.0, seed=seed, constraint=Constraint(regex=NO_END)
    )


async def _ends(client: AsyncGatewayClient, load: Load, seed: int) -> list[AnswerEnd]:
    """The ends of one stream, which is in flight from its first delta on."""
    ends, has_begun = [], False
    try:
        async for delta in client.generate(TURNS, sampling=_long(seed)):
            load.num_in_flight += not has_begun
            has_begun = True
            if delta.end:
                ends.append(delta.end)
    finally:
        load.num_in_flight -= has_begun
    return ends


async def _answers(client: AsyncGatewayClient, load: Load, over: asyncio.Event) -> None:
    while not over.is_set():
        began = time.monotonic()
        try:
            await client.ask(TURNS, sampling=SamplingParams(4))
            load.num_unary += 1
        except Exception as error:
            load.failures.append(f"answer: {type(error).__name__} {error}")
        load.longest_seconds = max(load.longest_seconds, time.monotonic() - began)


async def _connections(gateway: str, load: Load, over: asyncio.Event) -> None:
    """A connection every few milliseconds: somebody must be there at any time."""
    host, _, port = gateway.rpartition(":")
    while not over.is_set():
        try:
            with socket.create_connection((host, int(port)), timeout=5):
                load.num_connections += 1
        except OSError as error:
            load.failures.append(f"connection: {error}")
        await asyncio.sleep(0.005)


async def _restarted(stack: StackUser, load: Load, name: str) -> int:
    """Restart a component; how many streams were in flight when its old process was told to end."""
    log = stack.logs / f"{name}.log"
    start = log.stat().st_size
    old = (await asyncio.to_thread(stack.components))[name]
    began = time.monotonic()
    restarting = asyncio.create_task(asyncio.to_thread(stack.run, "restart", name))
    while b"server_stopping" not in log.read_bytes()[start:] and not restarting.done():
        await asyncio.sleep(0.02)
    num_in_flight = load.num_in_flight
    await restarting
    print(f"{name}: new after {time.monotonic() - began:.1f} s, {num_in_flight} streams were in flight")
    new = (await asyncio.to_thread(stack.components))[name]
    assert new["pid"] != old["pid"] and new["address"] == old["address"]
    assert new["state"] == "ready"
    return num_in_flight


async def test_restart_of_gateway_and_decoder_under_20_streams_breaks_none(stack: StackUser) -> None:
    async with _loaded(stack) as load:
        in_flight = {name: await _restarted(stack, load, name) for name in ("gateway", "decoder")}
    print(load)
    assert load.failures == []
    assert min(in_flight.values()) > 0, in_flight


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_each_service_restarted_again_and_again_under_20_streams_breaks_none(stack: StackUser) -> None:
    names = ("gateway", "decoder", "encoder", "decoder-2", "adapter")
    async with _loaded(stack) as load:
        for _ in range(NUM_ROUNDS):
            for name in names:
                await _restarted(stack, load, name)
    print(load)
    assert load.failures == []


async def test_restart_of_what_is_not_there_says_what_is(stack: StackUser) -> None:
    told = await asyncio.to_thread(stack.run, "restart", "oven", status=2)
    assert "no component 'oven'; it has triton, encoder, adapter, decoder, decoder-2, gateway" in told.stderr
