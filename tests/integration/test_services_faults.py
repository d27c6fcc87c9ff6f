"""The gateway when things are wrong: bad input, uploads, callers that leave, deadlines."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2 as content
from eureka.clients.metadata import metadata_of
from eureka.clients.status import error_of
from eureka.errors import CancelledError, EurekaError, InvalidInputError, NotFoundError
from eureka.pipeline.conversation import SpokenTurn
from eureka.pipeline.options import ListenOptions
from eureka.runtime.keys import Scope, new_key
from eureka.runtime.triton import TritonLauncher
from eureka.types import CallContext, SamplingParams, TextPart
from tests.helpers.gateway_stack import (
    Stack,
    another_gateway,
    conversation,
    inline,
    metrics_at,
    noise,
    running_stack,
    silent_flac,
    until,
    upload,
    user,
    wav,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP = noise(1.0, 1)
MAX_UPLOAD_BYTES = 1 << 20
TTL_SECONDS = 3_600.0
NUM_LONG_TOKENS = 700


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(triton: TritonLauncher, tiny_checkpoint: Path, folder: Path) -> AsyncIterator[Stack]:
    gateway = {
        "max_upload_bytes": MAX_UPLOAD_BYTES,
        "max_inline_bytes": 1 << 20,
        "upload_ttl_seconds": TTL_SECONDS,
    }
    async with running_stack(triton.config.grpc_address, tiny_checkpoint, folder, **gateway) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def endless(stack: Stack) -> api.GenerateRequest:
    """A request whose answer takes hundreds of steps: random tokens, among which the end is rare."""
    turn = [SpokenTurn("user", (TextPart("on and on"),))]

    def seed_of_a_long_answer() -> int:
        for seed in range(100):
            sampling = SamplingParams(NUM_LONG_TOKENS, temperature=1e6, seed=seed)
            usage = stack.listener.converse("", turn, ListenOptions(sampling)).usage
            if usage.generated_tokens == NUM_LONG_TOKENS:
                return seed
        raise AssertionError("no long answer")

    seed = await asyncio.to_thread(seed_of_a_long_answer)
    sampling = content.SamplingParams(temperature=1e6, seed=seed, max_new_tokens=3_500)
    return api.GenerateRequest(conversation=conversation("on and on"), sampling=sampling)


async def failure(call: Any) -> EurekaError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            _ = [message async for message in call]
        else:
            await call
    return error_of(caught.value)


# -- bad input -------------------------------------------------------------------------------------


def transcribe(**fields: Any) -> api.TranscribeRequest:
    return api.TranscribeRequest(**{"audio": inline(CLIP), **fields})


def ask(*turns: content.Turn, **fields: Any) -> api.AskRequest:
    return api.AskRequest(conversation=turns or conversation("what?"), **fields)


def classify(*labels: str, **fields: Any) -> api.ClassifyRequest:
    return api.ClassifyRequest(**{"audio": inline(CLIP), "labels": labels, **fields})


def sampled(**sampling: Any) -> api.AskRequest:
    return ask(sampling=content.SamplingParams(**sampling))


SYSTEM = content.Turn(role=content.ROLE_SYSTEM, parts=[content.Part(text="brief")])
EACH = {"mode": content.CHANNEL_MODE_EACH}
BAD_INPUT: dict[str, tuple[Callable[[], Message], str]] = {
    "no source": (lambda: transcribe(audio=content.Audio()), "NO_AUDIO_SOURCE"),
    "no bytes": (lambda: transcribe(audio=content.Audio(content=b"")), "EMPTY_AUDIO"),
    "garbage": (lambda: transcribe(audio=content.Audio(content=b"no audio" * 99)), "NOT_AUDIO"),
    "playlist": (lambda: transcribe(audio=content.Audio(content=b"#EXTM3U\nfile:a")), "PLAYLIST_REFUSED"),
    "too many bytes": (lambda: transcribe(audio=content.Audio(content=bytes(2 << 20))), "TOO_MANY_BYTES"),
    "unknown upload": (lambda: transcribe(audio=content.Audio(upload="uploads/none")), "UPLOAD_NOT_FOUND"),
    "a path": (lambda: transcribe(audio=content.Audio(upload="uploads/../../x")), "UPLOAD_NOT_FOUND"),
    "unknown model": (lambda: transcribe(model="other"), "MODEL_NOT_FOUND"),
    "unknown language": (lambda: transcribe(language="tlh"), "UNSUPPORTED_LANGUAGE"),
    "no such channel": (
        lambda: transcribe(audio=inline(CLIP, mode=content.CHANNEL_MODE_INDEX, index=1)),
        "NO_SUCH_CHANNEL",
    ),
    "unknown channel mode": (lambda: transcribe(audio=inline(CLIP, mode=9)), "CHANNEL_MODE_NOT_SERVED"),
    "unknown priority": (lambda: transcribe(priority=9), "UNKNOWN_PRIORITY"),
    "priority of probes": (lambda: transcribe(priority=4), "UNKNOWN_PRIORITY"),
    "window too short": (lambda: transcribe(max_window_duration={"nanos": 5}), "WINDOW_OUT_OF_RANGE"),
    "window too long": (lambda: transcribe(max_window_duration={"seconds": 31}), "WINDOW_OUT_OF_RANGE"),
    "each of a question": (lambda: ask(user(inline(CLIP, **EACH), "what?")), "CHANNEL_MODE_NOT_SERVED"),
    "each of a set": (lambda: classify("a", audio=inline(CLIP, **EACH)), "CHANNEL_MODE_NOT_SERVED"),
    "no turn": (lambda: api.AskRequest(), "EMPTY_CONVERSATION"),
    "no role": (lambda: ask(content.Turn(parts=[content.Part(text="a")])), "UNKNOWN_ROLE"),
    "empty turn": (lambda: ask(user()), "EMPTY_TURN"),
    "empty part": (lambda: ask(content.Turn(role=content.ROLE_USER, parts=[{}])), "EMPTY_PART"),
    "blank question": (lambda: ask(user("  ")), "EMPTY_QUESTION"),
    "last turn not the user's": (lambda: ask(SYSTEM), "LAST_TURN_NOT_USER"),
    "late system turn": (lambda: ask(user("a"), SYSTEM, user("b")), "MISPLACED_SYSTEM_TURN"),
    "far too much text": (lambda: ask(user("word " * 40_000)), "PROMPT_TOO_LONG"),
    "too many tokens": (lambda: sampled(max_new_tokens=100_000), "PROMPT_TOO_LONG"),
    "no new token": (lambda: sampled(max_new_tokens=0), "INVALID_INPUT"),
    "negative temperature": (lambda: sampled(temperature=-1), "INVALID_INPUT"),
    "temperature that is none": (lambda: sampled(temperature=float("nan")), "INVALID_INPUT"),
    "top_p of 0": (lambda: sampled(top_p=0), "INVALID_INPUT"),
    "penalty of 0": (lambda: sampled(repetition_penalty=0), "INVALID_INPUT"),
    "too many stop strings": (lambda: sampled(stop=list("abcdefghi")), "INVALID_INPUT"),
    "empty stop string": (lambda: sampled(stop=[""]), "INVALID_INPUT"),
    "long stop string": (lambda: sampled(stop=["a" * 65]), "INVALID_INPUT"),
    "too many logprobs": (lambda: sampled(top_logprobs=21), "INVALID_INPUT"),
    "no label": (lambda: classify(), "NO_LABELS"),
    "blank label": (lambda: classify("a", "_ "), "NO_LABELS"),
    "repeated label": (lambda: classify("a", "a"), "REPEATED_LABEL"),
    "too many labels": (lambda: classify(*map(str, range(257))), "TOO_MANY_LABELS"),
    "threshold above 1": (lambda: classify("a", abstain_below=1.5), "INVALID_INPUT"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
async def test_bad_input_is_refused_with_its_reason(stack: Stack, name: str) -> None:
    make, reason = BAD_INPUT[name]
    request = make()
    method = type(request).__name__.removesuffix("Request")

    error = await failure(getattr(stack.fused.audio, method)(request))

    assert error.reason == reason
    assert isinstance(error, InvalidInputError | NotFoundError)
    if isinstance(request, api.AskRequest):
        copy = api.GenerateRequest(conversation=request.conversation, sampling=request.sampling)
        assert (await failure(stack.fused.audio.Generate(copy))).reason == reason


async def test_audio_beyond_the_limit_names_it(stack: Stack) -> None:
    long = content.Audio(content=wav(np.zeros(1)), channel=None)  # a small file that states much
    kept = await upload(stack.fused, silent_flac(301.0))
    long.upload = kept.upload

    windows = await failure(stack.fused.audio.Transcribe(api.TranscribeRequest(audio=long)))
    prompt = await failure(stack.fused.audio.Ask(ask(user(long, "what?"))))
    two = silent_flac(70.0)
    both = [content.Audio(content=two), content.Audio(content=two)]
    together = await failure(stack.fused.audio.Ask(ask(user(*both, "what?"))))

    assert {error.reason for error in (windows, prompt, together)} == {"AUDIO_TOO_LONG"}
    assert "300 s" in windows.message
    assert "120 s" in prompt.message and "120 s" in together.message


# -- uploads ---------------------------------------------------------------------------------------


async def test_upload_that_is_too_large_leaves_nothing(stack: Stack, folder: Path) -> None:
    before = sorted(folder.rglob("*"))

    error = await failure(upload(stack.fused, bytes(MAX_UPLOAD_BYTES + 1)))

    assert error.reason == "UPLOAD_TOO_LARGE"
    await until(lambda: sorted(folder.rglob("*")) == before)


async def test_upload_out_of_order_is_refused(stack: Stack) -> None:
    config = api.UploadRequest(config=api.UploadConfig())
    data = api.UploadRequest(data=b"abc")
    large = api.UploadRequest(data=bytes((1 << 20) + 1))
    named = api.UploadRequest(config=api.UploadConfig(display_name="n" * 256))
    cases = [
        ([], "NO_UPLOAD_CONFIG"),
        ([data], "NO_UPLOAD_CONFIG"),
        ([named, data], "DISPLAY_NAME_TOO_LONG"),
        ([config], "EMPTY_AUDIO"),
        ([config, config], "NO_UPLOAD_DATA"),
        ([config, large], "CHUNK_TOO_LARGE"),
    ]
    for requests, reason in cases:
        assert (await failure(stack.fused.audio.Upload(iter(requests)))).reason == reason


async def test_expired_upload_is_not_found(stack: Stack, folder: Path) -> None:
    kept = await upload(stack.fused, wav(CLIP))
    request = api.TranscribeRequest(audio=content.Audio(upload=kept.upload))
    file = folder / "default" / kept.upload.removeprefix("uploads/")
    assert (await stack.fused.audio.Transcribe(request)).tracks

    old = time.time() - TTL_SECONDS
    os.utime(file, (old, old))

    assert (await failure(stack.fused.audio.Transcribe(request))).reason == "UPLOAD_NOT_FOUND"


async def test_keys_part_tenants_and_rights(stack: Stack, tmp_path: Path) -> None:
    lines, calls = [], {}
    for tenant, scopes in (("one", {Scope.READ, Scope.WRITE}), ("two", {Scope.READ})):
        token, key = new_key(tenant, frozenset(scopes))
        lines.append(key.to_line())
        calls[tenant] = {"metadata": (("authorization", f"Bearer {token}"),)}
    keys_file = tmp_path / "keys"
    keys_file.write_text("\n".join(lines))

    async with another_gateway(stack.fused, keys_file=keys_file) as caller:
        kept = await upload(caller, wav(CLIP), **calls["one"])
        request = api.TranscribeRequest(audio=content.Audio(upload=kept.upload))
        own = await caller.audio.Transcribe(request, **calls["one"])
        foreign = await failure(caller.audio.Transcribe(request, **calls["two"]))
        unknown = await failure(caller.audio.Transcribe(request))
        forbidden = await failure(upload(caller, wav(CLIP), **calls["two"]))

    assert own.tracks
    assert [error.reason for error in (foreign, unknown, forbidden)] == [
        "UPLOAD_NOT_FOUND",
        "MISSING_KEY",
        "MISSING_SCOPE",
    ]


async def test_upload_that_its_caller_leaves_is_removed(stack: Stack, folder: Path) -> None:
    async def requests() -> AsyncIterator[api.UploadRequest]:
        yield api.UploadRequest(config=api.UploadConfig())
        yield api.UploadRequest(data=b"abc")
        await asyncio.sleep(60)

    call = stack.fused.audio.Upload(requests())
    await until(lambda: bool(list(folder.rglob("*.part"))))
    call.cancel()

    await until(lambda: not list(folder.rglob("*.part")))


# -- callers that leave, deadlines -----------------------------------------------------------------


async def test_cancelled_generate_frees_its_slot(
    stack: Stack, triton: TritonLauncher, endless: api.GenerateRequest
) -> None:
    address = triton.config.metrics_address
    call = stack.fused.audio.Generate(endless)
    first = await call.read()
    assert first.text or first.token_count
    await until(lambda: metrics_at(address)["eureka_kv_slots_used"] == 1)

    call.cancel()
    await until(lambda: metrics_at(address)["eureka_kv_slots_used"] == 0)

    before = metrics_at(address)["eureka_generated_tokens_total"]
    await asyncio.sleep(0.5)
    assert metrics_at(address)["eureka_generated_tokens_total"] <= before + 2  # a probe has one token


async def test_cancelled_ask_frees_slot_and_thread(
    stack: Stack, triton: TritonLauncher, endless: api.GenerateRequest
) -> None:
    address = triton.config.metrics_address
    call = stack.fused.audio.Ask(ask(*endless.conversation, sampling=endless.sampling))
    await until(lambda: metrics_at(address)["eureka_kv_slots_used"] == 1)

    call.cancel()

    await until(lambda: metrics_at(address)["eureka_kv_slots_used"] == 0)
    assert (await stack.fused.audio.Ask(ask())).model == "tiny"


async def test_deadline_ends_a_call_and_frees_its_slot(
    stack: Stack, triton: TritonLauncher, endless: api.GenerateRequest
) -> None:
    started = time.monotonic()

    error = await failure(stack.fused.audio.Generate(endless, timeout=0.2))

    assert isinstance(error, CancelledError) and error.reason == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 1.0
    await until(lambda: metrics_at(triton.config.metrics_address)["eureka_kv_slots_used"] == 0)


async def test_deadline_reaches_the_engine(stack: Stack) -> None:
    context = CallContext("deadline", deadline=time.monotonic() + 0.3)
    request = replace(stack.long_request(1), deadline=context.deadline)

    with pytest.raises(CancelledError) as caught:
        _ = [delta async for delta in stack.stages.generate(request, context)]

    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_request_id_comes_back(stack: Stack) -> None:
    call = stack.fused.audio.Ask(ask(), metadata=metadata_of(CallContext("my-request")))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "my-request"
