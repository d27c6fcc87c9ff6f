"""The decoder service over an engine that ends as it is told: every ending and refusal has its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.decoder_wire import delta_of
from eureka.clients.status import error_of
from eureka.clients.tensors import to_tensor
from eureka.engine.request import Delta, Label, LabelScores, Request
from eureka.errors import EurekaError, QueueFullError, StageUnavailableError
from eureka.runtime.settings import Settings
from eureka.stage.v1 import decoder_service_pb2 as wire
from eureka.stage.v1 import decoder_service_pb2_grpc
from eureka.types import Ending, Usage
from services.decoder.checkpoint import read_checkpoint
from services.decoder.main import build
from services.stage import start_stage

ROWS = to_tensor(np.ones((2, 64), np.float32))


class ToldEngine:
    """Gives some tokens and then ends as told; remembers what it was asked."""

    def __init__(self) -> None:
        self.end: Ending | EurekaError = Ending.STOP
        self.requests: list[Request] = []
        self.labels: list[Label] = []
        self.hangs = asyncio.Event()
        self.loaded = asyncio.Event()

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        if self.hangs.is_set():
            await asyncio.Event().wait()
        yield Delta((30, 31))
        if isinstance(self.end, EurekaError):
            raise self.end
        yield Delta((32,), self.end, Usage(7, 3, {"wait": 0.5}))

    async def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        self.labels = list(labels)
        return LabelScores(tuple(label.name for label in labels), (-1.5,) * len(labels), Usage(9))

    async def probe(self, model: str) -> None:
        if self.hangs.is_set():
            await asyncio.Event().wait()
        if isinstance(self.end, StageUnavailableError):
            raise self.end

    def end_calls(self, model: str) -> None: ...

    async def ready(self, model: str) -> bool:
        return True

    async def load(self, model: str) -> None:
        self.loaded.set()

    async def unload(self, model: str) -> None: ...


@asynccontextmanager
async def serving(checkpoint: Path, engine: ToldEngine, **section: Any) -> AsyncIterator[Any]:
    settings = Settings(checkpoint=checkpoint, decoder={"port": 0, **section})
    stage = build(engine, read_checkpoint(checkpoint), settings)
    running = await start_stage(stage, settings.decoder, settings)
    channel = open_channel(ChannelConfig(f"127.0.0.1:{running.server.port}"))
    try:
        yield decoder_service_pb2_grpc.DecoderServiceStub(channel)
    finally:
        await channel.close()
        await running.stop(0.0)


def generate(**fields: Any) -> wire.GenerateRequest:
    return wire.GenerateRequest(**{"instruction": {"caption": {}}, "audio_embeddings": ROWS, **fields})


async def test_deltas_come_as_text_with_ids_phrases_and_usage(tiny_checkpoint: Path) -> None:
    engine = ToldEngine()
    async with serving(tiny_checkpoint, engine) as stub:
        sampling = wire.SamplingParams(stop=["x"], banned_token_ids=[9])
        call = stub.Generate(generate(sampling=sampling), timeout=30)
        deltas = [delta_of(message) async for message in call]

    assert [delta.token_ids for delta in deltas] == [(30, 31), (32,)]
    assert deltas[-1].ending is Ending.STOP
    assert deltas[-1].usage == Usage(7, 3, {"wait": 0.5})
    assert "".join(delta.text for delta in deltas) == "".join(p.text for p in deltas[-1].phrases)
    (request,) = engine.requests
    assert request.sampling.stop == ("x",) and request.sampling.ban_token_ids == (9,)
    assert request.deadline is not None and request.audio_embeddings.shape == (2, 64)


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        (Ending.CANCELLED, "CANCELLED", "CANCELLED"),
        (Ending.DEADLINE, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        (Ending.ERROR, "INTERNAL", "GENERATION_FAILED"),
        (QueueFullError("full"), "RESOURCE_EXHAUSTED", "QUEUE_FULL"),
        (StageUnavailableError("gone", reason="MODEL_GONE"), "UNAVAILABLE", "MODEL_GONE"),
    ],
)
async def test_ending_that_is_no_answer_is_a_status(
    tiny_checkpoint: Path, end: Ending | EurekaError, code: str, reason: str
) -> None:
    engine = ToldEngine()
    engine.end = end
    async with serving(tiny_checkpoint, engine) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [message async for message in stub.Generate(generate())]

    assert (caught.value.code().name, error_of(caught.value).reason) == (code, reason)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (wire.GenerateRequest(), "NO_INSTRUCTION"),
        (generate(instruction={"transcribe": {"language": "tlh"}}), "UNSUPPORTED_LANGUAGE"),
        (generate(audio_embeddings=None), "EMPTY_AUDIO"),
        (generate(audio_embeddings=to_tensor(np.ones((5_000, 1), np.float16))), "PROMPT_TOO_LONG"),
        (generate(sampling={"top_p": 2.0}), "INVALID_INPUT"),
        (wire.ScoreRequest(instruction={"classify": {}}, audio_embeddings=ROWS), "NO_LABELS"),
        (
            wire.ScoreRequest(instruction={"classify": {}}, audio_embeddings=ROWS, labels=["a", "a"]),
            "REPEATED_LABEL",
        ),
        (
            wire.ScoreRequest(
                instruction={"classify": {}}, audio_embeddings=ROWS, labels=list(map(str, range(257)))
            ),
            "TOO_MANY_LABELS",
        ),
    ],
)
async def test_bad_request_is_refused_with_its_reason(
    tiny_checkpoint: Path, request_: Any, reason: str
) -> None:
    engine = ToldEngine()
    async with serving(tiny_checkpoint, engine) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if isinstance(request_, wire.ScoreRequest):
                await stub.Score(request_)
            else:
                _ = [message async for message in stub.Generate(request_)]

    assert error_of(caught.value).reason == reason
    assert engine.requests == []


async def test_labels_are_scored_as_their_words(tiny_checkpoint: Path) -> None:
    engine = ToldEngine()
    tokenizer = read_checkpoint(tiny_checkpoint).tokenizer
    async with serving(tiny_checkpoint, engine) as stub:
        request = wire.ScoreRequest(
            instruction={"classify": {}}, audio_embeddings=ROWS, labels=["dog_bark", "rain"]
        )
        response = await stub.Score(request)

    assert list(response.log_probabilities) == [-1.5, -1.5]
    assert [label.token_ids for label in engine.labels] == [
        tokenizer.encode_plain("dog bark"),
        tokenizer.encode_plain("rain"),
    ]


async def test_busy_timeout_of_the_settings_tells_when_a_silent_model_is_gone(tiny_checkpoint: Path) -> None:
    engine = ToldEngine()
    engine.hangs.set()
    async with serving(tiny_checkpoint, engine, busy_timeout_seconds=0.1) as stub:
        call = stub.Generate(generate(), timeout=60)
        await asyncio.wait_for(engine.loaded.wait(), 8)  # the default is 10
        call.cancel()
