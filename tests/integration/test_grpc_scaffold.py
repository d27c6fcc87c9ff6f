"""The scaffold with real servers and channels: errors, contexts, limits, health, graceful stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from eureka import errors
from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1.content_pb2 import Audio
from eureka.clients.channels import ChannelConfig, open_channel, open_sync_channel
from eureka.clients.metadata import metadata_of, trace_id_of
from eureka.clients.status import error_of, retry_delay_of
from eureka.errors import EurekaError
from eureka.runtime.grpc_server import ServerConfig, serve_until_signal, start_server
from eureka.runtime.interceptors import AnswerInterceptor, standard_interceptors
from eureka.runtime.metrics import Metrics
from eureka.types import CallContext
from tests.helpers.grpc_services import SERVICE, Serving, quick_monitor, serving

CLASSES = sorted(
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, EurekaError) and kind is not EurekaError
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def served() -> AsyncIterator[Serving]:
    async with serving(standard_interceptors()) as running:
        yield running


async def _failure(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


@pytest.mark.parametrize("name", CLASSES)
async def test_error_of_each_class_arrives_as_it_was_raised(served: Serving, name: str) -> None:
    failure = await _failure(served.stub.Ask(api.AskRequest(model=name)))
    error = error_of(failure)
    kind = getattr(errors, name)
    assert type(error) is kind
    assert (error.message, error.reason) == (f"this is {name}", kind.default_reason)
    assert failure.code().name == kind.code
    assert retry_delay_of(failure) == (1.0 if kind.is_retryable else None)


async def test_passed_deadline_raised_by_handler_has_its_code(served: Serving) -> None:
    failure = await _failure(served.stub.Ask(api.AskRequest(model="CancelledError:DEADLINE_EXCEEDED")))
    assert failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_unexpected_exception_is_internal_and_logged(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    failure = await _failure(served.stub.Ask(api.AskRequest(model="ValueError")))
    assert failure.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in f"{failure.details()}{failure.trailing_metadata()}"
    [record] = [record for record in caplog.records if record.message == "handler_failed"]
    assert record.exc_info is not None


async def test_stream_that_fails_midway_keeps_its_messages_and_tells_why(served: Serving) -> None:
    stream = served.stub.Generate(api.GenerateRequest(model="StageUnavailableError"))
    texts = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in stream:
            texts.append(message.text)
    assert texts == ["one"]
    assert type(error_of(caught.value)) is errors.StageUnavailableError


async def test_client_stream_is_served_and_its_errors_translated(served: Serving) -> None:
    parts = [api.UploadRequest(data=b"x" * 1000)] * 3
    assert (await served.stub.Upload(iter(parts))).size_bytes == 3000
    assert error_of(await _failure(served.stub.Upload(iter([])))).reason == "NO_CONFIG"


async def test_unknown_method_is_unimplemented(served: Serving) -> None:
    failure = await _failure(served.stub.Caption(api.CaptionRequest()))
    assert failure.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_request_id_and_trace_reach_the_handler_and_come_back(served: Serving) -> None:
    call = served.stub.Ask(api.AskRequest(), metadata=metadata_of(CallContext("req-7", PARENT)), timeout=5)
    await call
    [seen] = served.service.seen
    assert seen.request_id == "req-7"
    assert trace_id_of(seen.traceparent) == trace_id_of(PARENT)
    assert seen.deadline is not None
    assert seen.tenant == "default"
    assert ("x-request-id", "req-7") in tuple(await call.trailing_metadata())


async def test_call_without_metadata_gets_an_id_and_one_access_line(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eureka")
    await served.stub.Ask(api.AskRequest())
    [seen] = served.service.seen
    assert seen.request_id
    assert seen.deadline is None
    [line] = [record for record in caplog.records if record.message == "call_ended"]
    assert (line.method, line.code, line.request_id) == ("AudioService/Ask", "OK", seen.request_id)


@pytest.mark.parametrize(("is_stage", "num_lines"), [(True, 1), (False, 3)])
async def test_stage_whose_model_is_away_writes_one_line_for_many_calls(
    caplog: pytest.LogCaptureFixture, is_stage: bool, num_lines: int
) -> None:
    caplog.set_level(logging.INFO, "eureka")
    async with serving(standard_interceptors(trusts_tenant=is_stage)) as served:
        for _ in range(3):
            stream = served.stub.Generate(api.GenerateRequest(model="StageUnavailableError"))
            with pytest.raises(grpc.aio.AioRpcError):
                _ = [message async for message in stream]
        await served.stub.Ask(api.AskRequest())
    codes = [record.code for record in caplog.records if record.message == "call_ended"]
    assert codes == [*["UNAVAILABLE"] * num_lines, "OK"]


async def test_deadline_and_cancellation_reach_the_handler(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eureka")
    failure = await _failure(served.stub.Classify(api.ClassifyRequest(), timeout=0.1))
    assert error_of(failure).reason == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(served.service.was_cancelled.wait(), 2)
    served.service.was_cancelled.clear()
    call = served.stub.Classify(api.ClassifyRequest())
    await asyncio.sleep(0.1)
    call.cancel()
    await asyncio.wait_for(served.service.was_cancelled.wait(), 2)
    await asyncio.sleep(0.05)
    codes = [record.code for record in caplog.records if record.message == "call_ended"]
    assert codes == ["DEADLINE_EXCEEDED", "CANCELLED"]


async def test_message_limit_holds_at_both_ends() -> None:
    config = ServerConfig(max_message_bytes=1 << 20)
    async with serving(standard_interceptors(), config=config) as served:
        small = api.TranscribeRequest(audio=Audio(content=bytes(1_000_000)))
        assert (await served.stub.Transcribe(small)).model == "1000000"
        large = api.TranscribeRequest(audio=Audio(content=bytes(2_000_000)))
        assert error_of(await _failure(served.stub.Transcribe(large))).reason == "MESSAGE_TOO_LARGE"


async def test_five_mebibytes_pass_by_default(served: Serving) -> None:
    request = api.TranscribeRequest(audio=Audio(content=bytes(5 << 20)))
    assert (await served.stub.Transcribe(request)).model == str(5 << 20)


async def test_call_over_the_limit_is_refused_at_once_and_readiness_stays() -> None:
    monitor = quick_monitor(max_silence_seconds=5)
    answers = AnswerInterceptor([monitor], [f"/{SERVICE}/Classify"])
    interceptors = standard_interceptors(max_concurrent=2, answers=answers)
    async with serving(interceptors, monitor=monitor) as served:
        monitor.record_answer()
        held = [served.stub.Classify(api.ClassifyRequest()) for _ in range(2)]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        error = error_of(await _failure(served.stub.Classify(api.ClassifyRequest())))
        assert time.monotonic() - started < 0.5
        assert type(error) is errors.QueueFullError
        assert await _health(served.channel) == "SERVING"
        served.service.release.set()
        await asyncio.gather(*held)


async def _health(channel: grpc.aio.Channel, service: str = "") -> str:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def _until(channel: grpc.aio.Channel, wanted: str) -> None:
    async with asyncio.timeout(3):
        while await _health(channel) != wanted:
            await asyncio.sleep(0.02)


async def test_health_follows_answers_and_liveness_does_not() -> None:
    is_broken = asyncio.Event()

    async def probe() -> None:
        if is_broken.is_set():
            raise errors.StageUnavailableError("away", reason="MODEL_GONE")

    async with serving(standard_interceptors(), monitor=quick_monitor(probe)) as served:
        await _until(served.channel, "SERVING")
        assert await _health(served.channel, SERVICE) == "SERVING"
        is_broken.set()
        await _until(served.channel, "NOT_SERVING")
        assert await _health(served.channel, "liveness") == "SERVING"
        is_broken.clear()
        await _until(served.channel, "SERVING")


async def test_health_before_the_first_answer_is_not_serving(served: Serving) -> None:
    assert await _health(served.channel) == "NOT_SERVING"


async def test_reflection_lists_the_service(served: Serving) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([request])):
        names = {service.name for service in answer.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_graceful_stop_lets_a_running_stream_finish(served: Serving) -> None:
    stream = served.stub.Generate(api.GenerateRequest())
    texts = [(await anext(aiter(stream))).text]
    stopping = asyncio.create_task(served.running.stop(grace_seconds=10))
    await asyncio.sleep(0.1)
    assert not stopping.done()
    served.service.release.set()
    texts += [message.text async for message in stream]
    await stopping
    assert texts == ["one", "two"]


async def test_signal_turns_readiness_off_first_then_stops() -> None:
    monitor = quick_monitor(max_silence_seconds=60)
    async with serving(
        standard_interceptors(), monitor=monitor, config=ServerConfig(drain_seconds=0.3)
    ) as served:
        monitor.record_answer()
        await _until(served.channel, "SERVING")
        serving_task = asyncio.create_task(serve_until_signal(served.running, [signal.SIGUSR1]))
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)
        await _until(served.channel, "NOT_SERVING")
        assert (await served.stub.Ask(api.AskRequest())).text == "default"
        await asyncio.wait_for(serving_task, 5)


async def test_port_in_use_is_named(served: Serving) -> None:
    with pytest.raises(errors.WrongStateError, match=str(served.running.port)) as caught:
        await start_server(
            ServerConfig(port=served.running.port), lambda _: None, services=[], monitor=quick_monitor()
        )
    assert caught.value.reason == "PORT_IN_USE"


async def test_metrics_count_calls_by_code() -> None:
    metrics = Metrics("gateway", CollectorRegistry())
    async with serving(standard_interceptors(metrics=metrics)) as served:
        served.service.release.set()
        await served.stub.Ask(api.AskRequest())
        await _failure(served.stub.Ask(api.AskRequest(model="NotFoundError")))
        assert [m.text async for m in served.stub.Generate(api.GenerateRequest())] == ["one", "two"]
    labels = {"component": "gateway", "method": "AudioService/Ask"}
    value = metrics.registry.get_sample_value
    assert value("eureka_requests_total", labels | {"code": "OK"}) == 1
    assert value("eureka_requests_total", labels | {"code": "NOT_FOUND"}) == 1
    assert value("eureka_request_duration_seconds_count", labels) == 2
    stream = labels | {"method": "AudioService/Generate"}
    assert value("eureka_time_to_first_token_seconds_count", stream) == 1
    assert value("eureka_requests_running", {"component": "gateway"}) == 0


async def test_calls_go_round_over_all_addresses() -> None:
    async with serving(standard_interceptors()) as one, serving(standard_interceptors()) as two:
        target = f"127.0.0.1:{one.running.port},127.0.0.1:{two.running.port}"
        async with open_channel(ChannelConfig(target)) as channel:
            await channel.channel_ready()
            for _ in range(20):
                await type(one.stub)(channel).Ask(api.AskRequest())
        assert len(one.service.seen) + len(two.service.seen) == 20
        assert min(len(one.service.seen), len(two.service.seen)) >= 5


async def test_unary_call_is_tried_again_when_unavailable(served: Serving) -> None:
    await _failure(served.stub.Ask(api.AskRequest(model="StageUnavailableError")))
    assert len(served.service.seen) == 5
    await _failure(served.stub.Ask(api.AskRequest(model="QueueFullError")))
    assert len(served.service.seen) == 6


async def test_sync_channel_speaks_to_the_server(served: Serving) -> None:
    def ask() -> str:
        with open_sync_channel(ChannelConfig(f"127.0.0.1:{served.running.port}")) as channel:
            return str(type(served.stub)(channel).Ask(api.AskRequest()).text)

    assert await asyncio.to_thread(ask) == "default"


class Noted:
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def record_answer(self) -> None:
        self.told.append("answer")

    def record_error(self, error: EurekaError) -> None:
        self.told.append(error.reason)

    def record_running(self, num_calls: int) -> None:
        self.told.append(f"running {num_calls}")


async def test_observers_hear_of_each_message_and_error_of_model_calls() -> None:
    noted = Noted()
    answers = AnswerInterceptor([noted], [f"/{SERVICE}/Generate"])
    async with serving(standard_interceptors(answers=answers)) as served:
        served.service.release.set()
        await served.stub.Ask(api.AskRequest())
        assert len([m async for m in served.stub.Generate(api.GenerateRequest())]) == 2
        assert noted.told == ["running 1", "answer", "answer", "running 0", "answer"]
        noted.told.clear()
        stream = served.stub.Generate(api.GenerateRequest(model="StageUnavailableError"))
        with pytest.raises(grpc.aio.AioRpcError):
            [m async for m in stream]
        assert noted.told == ["running 1", "answer", "STAGE_UNAVAILABLE", "running 0"]


async def test_stop_ends_background_work_that_loses_a_cancellation() -> None:
    num_cancelled = 0

    async def work() -> None:
        nonlocal num_cancelled
        while num_cancelled < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                num_cancelled += 1

    async with serving(()) as server:
        server.running.run_beside(work())
        await asyncio.sleep(0.05)
        await asyncio.wait_for(server.running.stop(0.1), 5)

    assert num_cancelled == 2
