"""A server that takes over the port of another one, with real servers and channels."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import audio_service_pb2_grpc as api_grpc
from eureka.clients.channels import ChannelConfig, open_channel
from eureka.errors import WrongStateError
from eureka.runtime.grpc_server import RunningServer, ServerConfig, serve_until_signal, start_server
from eureka.runtime.interceptors import standard_interceptors
from eureka.runtime.stack_plan import PortChooser, is_busy
from tests.helpers.grpc_services import SERVICE, EchoAudioService, quick_monitor

NUM_CALLERS, NUM_STOPS = 30, 10


@pytest.fixture
def port() -> int:
    return PortChooser().near("127.0.0.1", 0)


async def _server(port: int) -> tuple[RunningServer, EchoAudioService]:
    service = EchoAudioService()
    running = await start_server(
        ServerConfig(port=port, shares_port=True, grace_seconds=5),
        lambda server: api_grpc.add_AudioServiceServicer_to_server(service, server),
        services=[SERVICE],
        monitor=quick_monitor(max_silence_seconds=60),
        interceptors=standard_interceptors(),
    )
    return running, service


@asynccontextmanager
async def _stub(port: int) -> AsyncIterator[api_grpc.AudioServiceStub]:
    async with open_channel(ChannelConfig(f"127.0.0.1:{port}")) as channel:
        yield api_grpc.AudioServiceStub(channel)


async def _until(running: RunningServer) -> None:
    async with asyncio.timeout(5):
        while not running.is_listening:
            await asyncio.sleep(0.01)


async def test_server_that_shares_its_port_listens_once_it_is_ready(port: int) -> None:
    running, _ = await _server(port)
    serving = asyncio.create_task(serve_until_signal(running, [signal.SIGUSR1]))
    await asyncio.sleep(0.1)
    assert not running.is_listening and not is_busy("127.0.0.1", port)

    running.monitor.record_answer()
    await _until(running)
    async with _stub(port) as stub:
        assert (await stub.Ask(api.AskRequest())).text == "default"
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(serving, 5)


async def test_signal_before_it_is_ready_ends_a_server_that_never_listened(port: int) -> None:
    running, _ = await _server(port)
    serving = asyncio.create_task(serve_until_signal(running, [signal.SIGUSR1]))
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(serving, 5)
    assert not running.is_listening


async def test_running_stream_ends_at_the_old_server_while_new_calls_go_to_the_new_one(port: int) -> None:
    old, old_service = await _server(port)
    await old.listen()
    async with _stub(port) as stub:
        stream = stub.Generate(api.GenerateRequest())
        assert (await stream.read()).text == "one"

        new, new_service = await _server(port)
        await new.listen()
        stopping = asyncio.create_task(old.stop())
        await asyncio.sleep(0.1)
        for _ in range(20):
            await stub.Ask(api.AskRequest())
        assert len(new_service.seen) == 20
        assert not stopping.done(), "the stream still runs"
        old_service.release.set()
        assert (await stream.read()).text == "two"
        await asyncio.wait_for(stopping, 5)
    await new.stop(0.1)


async def test_shared_port_is_refused_to_who_does_not_share(port: int) -> None:
    running, _ = await _server(port)
    await running.listen()
    with pytest.raises(WrongStateError) as raised:
        await start_server(ServerConfig(port=port), lambda _: None, services=[], monitor=quick_monitor())
    assert raised.value.reason == "PORT_IN_USE"
    await running.stop(0.1)


async def test_calls_that_no_stopping_server_had_taken_are_healed(port: int) -> None:
    """Without retries, two thirds of the calls under way at each stop end as CANCELLED without a word."""
    running, _ = await _server(port)
    await running.listen()
    num_answers, is_over = 0, False

    async def ask(stub: api_grpc.AudioServiceStub) -> None:
        nonlocal num_answers
        while not is_over:
            assert (await stub.Ask(api.AskRequest())).text == "default"
            num_answers += 1

    async with _stub(port) as stub:
        callers = [asyncio.create_task(ask(stub)) for _ in range(NUM_CALLERS)]
        for _ in range(NUM_STOPS):
            new, _ = await _server(port)
            await new.listen()
            await running.stop()
            running = new
            await asyncio.sleep(0.1)
        is_over = True
        await asyncio.gather(*callers)
    assert num_answers > NUM_CALLERS * NUM_STOPS
    await running.stop(0.1)
