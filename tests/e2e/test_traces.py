"""One trace from the caller to the models, and one for a job: the local stack, and a receiver of spans."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.gateway import GatewayClient
from eureka.clients.metadata import new_traceparent, trace_id_of
from eureka.clients.stages import StageClients
from eureka.errors import InvalidInputError
from eureka.types import CallContext
from tests.helpers.otlp_receiver import OtlpReceiver, ReceivedSpan, running_receiver
from tests.helpers.stack_user import StackUser, until
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.timeout(240)

STAGES = ("encoder", "adapter", "decoder")
MODELS = {"encoder": "audio_encoder", "adapter": "moe_adapter", "decoder": "llm_decoder"}
CALLS = {"encoder": "EncoderService/Encode", "adapter": "AdapterService/Adapt"}
CALLS |= {"decoder": "DecoderService/Generate"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(
    user: StackUser, receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUser]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server (CI=true: a skip is a failure)")
        pytest.skip("no redis-server; apt-get install redis-server")
    user.environment |= {
        "EUREKA_CHECKPOINT": str(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))),
        "EUREKA_GATEWAY__EMBEDDING_PATH": "two_stage",
        "EUREKA_LOG_FORMAT": "json",
        "EUREKA_LOG_LEVEL": "INFO",
        "EUREKA_TRACING__ENDPOINT": receiver.endpoint,
        "EUREKA_TRACING__EXPORT_SECONDS": "0.2",
        "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
    }
    user.run("up", "--detach")
    yield user


def address(stack: StackUser) -> str:
    return str(stack.components()["gateway"]["address"])


def one(spans: Sequence[ReceivedSpan], service: str, name: str, kind: str) -> ReceivedSpan:
    """The first of them; a job's windows have one each."""
    found = [s for s in spans if (s.service, s.name, s.kind) == (f"eureka-{service}", name, kind)]
    assert found, (service, name, kind, sorted({(s.service, s.name, s.kind) for s in spans}))
    return found[0]


def logged(stack: StackUser, component: str) -> list[dict[str, object]]:
    lines = (stack.logs / f"{component}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def check_stages(spans: Sequence[ReceivedSpan], caller: str, root: ReceivedSpan) -> None:
    """Each stage stands below `root`, four spans deep: call, service, inference, model."""
    by_id = {span.span_id: span for span in spans}
    for stage in STAGES:
        call = one(spans, caller, CALLS[stage], "CLIENT")
        served = next(s for s in spans if s.parent_id == call.span_id)
        asked = next(s for s in spans if s.parent_id == served.span_id)
        model = next(s for s in spans if s.parent_id == asked.span_id)
        assert (served.service, served.name, served.kind) == (f"eureka-{stage}", CALLS[stage], "SERVER")
        assert (asked.service, asked.name) == (f"eureka-{stage}", f"triton/{MODELS[stage]}")
        assert (model.service, model.name) == (f"eureka-{MODELS[stage]}", f"model/{MODELS[stage]}")
        assert by_id[call.parent_id].trace_id == root.trace_id
        assert served.seconds >= asked.seconds >= 0 and served.attributes["rpc.grpc.status_code"] == 0
        if stage != "decoder":
            assert served.attributes["eureka.audio_seconds"] == call.attributes["eureka.audio_seconds"] > 0
    assert model.attributes["eureka.generated_tokens"] == served.attributes["eureka.generated_tokens"]
    assert served.attributes["eureka.prompt_tokens"] > 0 and served.attributes["eureka.ending"]


def num_models(spans: Sequence[ReceivedSpan]) -> int:
    return len({span.name for span in spans if span.name.startswith("model/")})


def test_request_is_one_trace_from_the_caller_to_the_models(
    stack: StackUser, receiver: OtlpReceiver, noise: Path
) -> None:
    mine = new_traceparent()
    with GatewayClient(address(stack), traceparent=lambda: mine) as client:
        client.caption(noise, request_id="traced-1")
    trace = trace_id_of(mine)
    receiver.until(lambda spans: num_models(receiver.of_trace(trace)) == 3)
    receiver.until(lambda spans: any(s.name == "AudioService/Caption" for s in receiver.of_trace(trace)))
    spans = receiver.of_trace(trace)

    root = one(spans, "gateway", "AudioService/Caption", "SERVER")
    assert root.parent_id == mine.split("-")[2]
    assert root.attributes["eureka.request_id"] == "traced-1"
    assert root.attributes["eureka.audio_seconds"] == 2.0
    assert root.attributes["eureka.generated_tokens"] >= 1
    check_stages(spans, "gateway", root)
    for component in ("gateway", *STAGES):
        ended = [line for line in logged(stack, component) if line["event"] == "call_ended"]
        assert any(line["trace_id"] == trace and line["request_id"] == "traced-1" for line in ended)


def test_job_is_one_trace_from_its_creation_over_the_queue_to_the_models(
    stack: StackUser, receiver: OtlpReceiver, noise: Path
) -> None:
    mine = new_traceparent()
    with GatewayClient(address(stack), traceparent=lambda: mine) as client:
        job = client.create_job(noise)
        until(lambda: client.get_job(job.name).state.is_final)
    trace, job_id = trace_id_of(mine), job.name.removeprefix("jobs/")
    receiver.until(lambda spans: any(s.name == "task/finish" for s in receiver.of_trace(trace)))
    receiver.until(lambda spans: num_models(receiver.of_trace(trace)) == 3)
    spans = receiver.of_trace(trace)

    created = one(spans, "gateway", "JobService/CreateJob", "SERVER")
    for task in ("plan", "window", "finish"):
        span = one(spans, "worker", f"task/{task}", "CONSUMER")
        assert span.parent_id == created.span_id and span.attributes["eureka.job_id"] == job_id
    window = one(spans, "worker", "task/window", "CONSUMER")
    assert window.attributes["eureka.end"] == "WRITTEN"
    check_stages(spans, "worker", window)

    tasks = [line for line in logged(stack, "worker") if line["event"] == "task_ended"]
    assert {line["task"] for line in tasks if line["job_id"] == job_id} >= {"plan", "window", "finish"}
    assert any(line["trace_id"] == trace for line in tasks if line["job_id"] == job_id)
    for stage in STAGES:  # the job's id is in the request's
        calls = [line for line in logged(stack, stage) if line["event"] == "call_ended"]
        assert any(str(line["request_id"]).startswith(f"{job_id}/1/") for line in calls)


async def test_models_inside_an_ensemble_belong_to_the_trace_too(
    stack: StackUser, receiver: OtlpReceiver
) -> None:
    mine, components = new_traceparent(), stack.components()
    channels = [open_channel(ChannelConfig(components[stage]["address"])) for stage in STAGES]
    stages = StageClients(*channels, "fused")
    await stages.embed([np.zeros(16_000, np.float32)], CallContext("fused-1", mine))
    await stages.close()
    trace = trace_id_of(mine)
    receiver.until(lambda spans: num_models(receiver.of_trace(trace)) == 2)
    spans = receiver.of_trace(trace)
    asked = one(spans, "encoder", "triton/audio_frontend", "CLIENT")
    for model in ("audio_encoder", "moe_adapter"):
        assert one(spans, model, f"model/{model}", "SERVER").parent_id == asked.span_id


def test_caller_that_does_not_want_to_be_recorded_is_not(
    stack: StackUser, receiver: OtlpReceiver, noise: Path
) -> None:
    unwanted, wanted = new_traceparent(is_sampled=False), new_traceparent()
    with GatewayClient(address(stack), traceparent=lambda: unwanted) as client:
        client.ask("what is it", noise)
    with GatewayClient(address(stack), traceparent=lambda: wanted) as client:
        client.ask("what is it", noise)
    receiver.until(lambda spans: num_models(receiver.of_trace(trace_id_of(wanted))) == 3)
    assert not receiver.of_trace(trace_id_of(unwanted))


def test_failed_call_says_its_reason_and_not_whose_words_it_was(
    stack: StackUser, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    mine, file = new_traceparent(), tmp_path / "secret-words.wav"
    file.write_bytes(b"no audio at all")
    client = GatewayClient(address(stack), traceparent=lambda: mine)
    with client, pytest.raises(InvalidInputError):
        client.ask("my secret question", file)
    receiver.until(lambda spans: bool(receiver.of_trace(trace_id_of(mine))))
    root = next(s for s in receiver.of_trace(trace_id_of(mine)) if s.name == "AudioService/Ask")
    assert root.attributes["rpc.grpc.status_code"] == 3 and not root.is_error
    assert str(root.attributes["error.type"]).isupper()


def test_spans_hold_no_words_and_probes_make_none(stack: StackUser, receiver: OtlpReceiver) -> None:
    everything = repr(receiver.spans)
    assert "secret" not in everything and "what is it" not in everything
    assert not any(span.events for span in receiver.spans)
    roots = {span.name for span in receiver.spans if not span.parent_id}
    assert not roots & {"EncoderService/Encode", "DecoderService/Generate", "DecoderService/Describe"}
