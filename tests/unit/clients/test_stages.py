"""Calls of stages against real servers that answer as they are told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.decoder_wire import delta_message
from eureka.clients.stages import StageClients
from eureka.clients.tensors import to_tensor
from eureka.errors import CancelledError, StageUnavailableError
from eureka.stage.v1 import (
    adapter_service_pb2,
    adapter_service_pb2_grpc,
    call_pb2,
    decoder_service_pb2,
    decoder_service_pb2_grpc,
    encoder_service_pb2,
    encoder_service_pb2_grpc,
)
from eureka.types import CallContext, Ending, Instruction, Priority, Task, TextDelta, TextRequest, Usage

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
REQUEST = TextRequest(Instruction(Task.CAPTION), np.ones((1, 2), np.float32))


class Stages(
    encoder_service_pb2_grpc.EncoderServiceServicer,
    adapter_service_pb2_grpc.AdapterServiceServicer,
    decoder_service_pb2_grpc.DecoderServiceServicer,
):
    """All three stages; the first `num_failures` generations are UNAVAILABLE after `num_said` deltas."""

    def __init__(self) -> None:
        self.num_failures = self.num_said = self.num_calls = 0
        self.metadata: dict[str, str] = {}
        self.seconds_left = 0.0
        self.requests: list[Any] = []

    def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.seconds_left = context.time_remaining()

    async def Embed(self, request: Any, context: Any) -> encoder_service_pb2.EmbedResponse:
        self._note(request, context)
        return encoder_service_pb2.EmbedResponse(audio_embeddings=to_tensor(np.ones((1, 2), np.float32)))

    async def Encode(self, request: Any, context: Any) -> encoder_service_pb2.EncodeResponse:
        self._note(request, context)
        return encoder_service_pb2.EncodeResponse(encoder_frames=to_tensor(np.ones((4, 3), np.float32)))

    async def Adapt(self, request: Any, context: Any) -> adapter_service_pb2.AdaptResponse:
        self._note(request, context)
        rows = to_tensor(np.full((1, 2), 2.0, np.float16))
        return adapter_service_pb2.AdaptResponse(audio_embeddings=rows)

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note(request, context)
        self.num_calls += 1
        if self.num_calls <= self.num_failures:
            for _ in range(self.num_said):
                yield delta_message(TextDelta("half"))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield delta_message(TextDelta("whole", (1,), ending=Ending.STOP, usage=Usage(3, 1)))

    async def Describe(self, request: Any, context: Any) -> decoder_service_pb2.DescribeResponse:
        self._note(request, context)
        return decoder_service_pb2.DescribeResponse(model="m")


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Stages, str]]:
    server, stages = grpc.aio.server(), Stages()
    encoder_service_pb2_grpc.add_EncoderServiceServicer_to_server(stages, server)
    adapter_service_pb2_grpc.add_AdapterServiceServicer_to_server(stages, server)
    decoder_service_pb2_grpc.add_DecoderServiceServicer_to_server(stages, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield stages, f"127.0.0.1:{port}"
    await server.stop(0)


def clients(address: str, path: Any = "fused") -> StageClients:
    return StageClients(*(open_channel(ChannelConfig(address)) for _ in range(3)), path)


def context(**fields: Any) -> CallContext:
    return CallContext("the-request", TRACE, "a-tenant", **fields)


async def test_calls_carry_ids_trace_tenant_deadline_and_priority(served: tuple[Stages, str]) -> None:
    stages, address = served
    client = clients(address)
    called = context(deadline=time.monotonic() + 7.0, priority=Priority.BULK)

    await client.embed([np.zeros(5, np.float32)], called)

    assert stages.metadata["x-request-id"] == "the-request"
    assert stages.metadata["x-eureka-tenant"] == "a-tenant"
    assert stages.metadata["traceparent"] == TRACE
    assert 5.0 < stages.seconds_left < 7.2  # gRPC rounds up
    assert stages.requests[0].priority == call_pb2.PRIORITY_BULK
    await client.close()


async def test_two_stage_adapts_what_was_encoded(served: tuple[Stages, str]) -> None:
    stages, address = served
    client = clients(address, "two_stage")

    rows = await client.embed([np.zeros(5, np.float32)], context())

    assert [type(request).__name__ for request in stages.requests] == ["EncodeRequest", "AdaptRequest"]
    assert list(stages.requests[1].encoder_frames.shape) == [4, 3]
    assert (rows.dtype, rows.tolist()) == (np.float32, [[2.0, 2.0]])
    await client.close()


async def test_generate_tries_again_while_nothing_was_said(served: tuple[Stages, str]) -> None:
    stages, address = served
    stages.num_failures = 2
    client = clients(address)

    deltas = [delta async for delta in client.generate(REQUEST, context())]

    assert [delta.text for delta in deltas] == ["whole"]
    assert stages.num_calls == 3
    await client.close()


async def test_generate_never_says_the_beginning_twice(served: tuple[Stages, str]) -> None:
    stages, address = served
    stages.num_failures, stages.num_said = 1, 1
    client, seen = clients(address), []

    with pytest.raises(StageUnavailableError):
        async for delta in client.generate(REQUEST, context()):
            seen.append(delta.text)

    assert (seen, stages.num_calls) == (["half"], 1)
    await client.close()


async def test_generate_does_not_try_past_the_deadline(served: tuple[Stages, str]) -> None:
    stages, address = served
    stages.num_failures = 3
    client = clients(address)

    with pytest.raises((StageUnavailableError, CancelledError)):
        _ = [d async for d in client.generate(REQUEST, context(deadline=time.monotonic() + 0.05))]

    assert stages.num_calls == 1
    await client.close()


async def test_stage_that_is_away_is_told() -> None:
    client = clients("127.0.0.1:1")

    with pytest.raises(StageUnavailableError):
        await client.describe(context())
    await client.close()
