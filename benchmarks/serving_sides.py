"""The sides that `serving.py` compares: the same answers from an engine of this process and from servers.

Each side answers streams in a closed loop: a stream asks, takes all deltas, asks again. All sides decode the
same conversations to about the same number of tokens. A small model ends its answers early, which would leave
nothing to measure; so tokens are drawn at a temperature at which all are about equally likely.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import wave
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_types import ChatTurn, Recording
from eureka.clients.stages import StageClients
from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import open_backend
from eureka.engine.engine import Engine
from eureka.engine.handle import RequestHandle
from eureka.engine.request import Floats, Request
from eureka.model.load_plan import plan_load
from eureka.runtime.backend import backend_choice
from eureka.runtime.settings import load_settings
from eureka.text.answers import instruction_prompt
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import (
    SAMPLE_RATE_HZ,
    AudioPart,
    CallContext,
    Instruction,
    Pcm,
    SamplingParams,
    Task,
    TextPart,
    TextRequest,
    Turn,
)

GREETING, QUESTION = "hello", "what is heard?"

ANY_TOKEN = 50.0
"""A temperature at which all ids are about equally likely: one answer in twenty ends before its limit,
whatever the checkpoint would say."""


@dataclass(slots=True)
class Answered:
    """One answer as its caller saw it; times in seconds of one clock.

    Attributes:
        asked: when it was asked.
        times: when each message with tokens came.
        num_tokens: tokens of all messages.
        ended: when it was complete.
    """

    asked: float
    times: list[float] = field(default_factory=list)
    num_tokens: int = 0
    ended: float = 0.0

    def note(self, num_tokens: int) -> None:
        """A message came, and is the last one so far."""
        self.ended = perf_counter()
        if num_tokens:
            self.times.append(self.ended)
            self.num_tokens += num_tokens

    @property
    def first_seconds(self) -> float:
        """Time to first token."""
        return self.times[0] - self.asked

    @property
    def gaps(self) -> list[float]:
        """Seconds between neighbouring messages."""
        return [after - before for before, after in itertools.pairwise(self.times)]


class Side(Protocol):
    """One way to get answers."""

    async def answers(self, num_streams: int, num_rounds: int, max_new_tokens: int) -> list[Answered]:
        """All answers of so many streams that each ask `num_rounds` times, one after another."""
        ...


def make_clip(seconds: float, seed: int) -> Pcm:
    """Noise in bursts, rounded as a 16-bit file holds it; the same each time."""
    draw = np.random.default_rng(seed)
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    bursts = np.clip(np.sin(2 * np.pi * times / (0.7 + 0.2 * seed)) * 4 + 3.2, 0.01, 1.0)
    samples = (0.1 * bursts * draw.normal(size=len(times))).clip(-1, 1)
    return (np.round(samples * 32_767) / 32_768).astype(np.float32)


def wav_of(pcm: Pcm) -> bytes:
    """A 16-bit file of the samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((pcm * 32_768).astype("<i2").tobytes())
    return file.getvalue()


def sampling(max_new_tokens: int) -> SamplingParams:
    """The same draws on all sides; an answer hardly ever ends before `max_new_tokens`."""
    return SamplingParams(max_new_tokens, temperature=ANY_TOKEN, seed=1)


def instruction(num_audio_tokens: int) -> Instruction:
    """The conversation that is asked about one clip."""
    turns = (
        Turn("user", (TextPart(GREETING),)),
        Turn("assistant", (TextPart(GREETING),)),
        Turn("user", (AudioPart(num_audio_tokens), TextPart(QUESTION))),
    )
    return Instruction(Task.ASK, turns=turns)


class InProcess:
    """Embedder and engine on one thread of this process; no hop, no thread to wait for.

    Args:
        checkpoint: folder.
        clips: what is asked about, in turn.
        num_slots: requests decoded at a time.
    """

    def __init__(self, checkpoint: Path, clips: Sequence[Pcm], num_slots: int) -> None:
        plan, choice = plan_load(checkpoint), backend_choice(load_settings())
        tokenizer = Tokenizer.from_folder(checkpoint)
        self._prompts = PromptBuilder(tokenizer, plan.config)
        self._embedder = AudioEmbedder.open(plan, choice)
        self._engine = Engine(open_backend(plan, choice, num_slots), tokenizer.end_id)
        self._clips = clips
        self._numbers = itertools.count()
        self.embeddings = [self._embedder.embed([clip]) for clip in clips]

    def side(self, has_embeddings: bool) -> Side:
        """From pcm on, or with the embeddings at hand: the engine alone."""
        return _Loop(self, has_embeddings)

    def submit(self, index: int, has_embeddings: bool, max_new_tokens: int) -> RequestHandle:
        """Ask about a clip."""
        index %= len(self._clips)
        rows = self.embeddings[index] if has_embeddings else self._embedder.embed([self._clips[index]])
        prompt = instruction_prompt(self._prompts, instruction(len(rows)), len(rows))
        request = Request(
            str(next(self._numbers)),
            prompt.prompt_ids,
            prompt.token_type_ids,
            rows,
            sampling=sampling(max_new_tokens),
        )
        return self._engine.submit(request)

    def step(self) -> None:
        """One step of the engine."""
        self._engine.step()


@dataclass(slots=True)
class _Loop:
    """The closed loop of an `InProcess`: between two steps at most one clip is embedded."""

    own: InProcess
    has_embeddings: bool

    async def answers(self, num_streams: int, num_rounds: int, max_new_tokens: int) -> list[Answered]:
        """As `Side`; the event loop stands still meanwhile."""
        started = perf_counter()
        asking = deque((stream, 0, started) for stream in range(num_streams))
        running: dict[int, tuple[int, RequestHandle, Answered]] = {}
        done: list[Answered] = []
        while asking or running:
            if asking:
                stream, turn, asked = asking.popleft()
                handle = self.own.submit(stream + turn, self.has_embeddings, max_new_tokens)
                running[stream] = (turn, handle, Answered(asked))
            self.own.step()
            for stream, (turn, handle, answered) in list(running.items()):
                if not _take_all(handle, answered):
                    continue
                del running[stream]
                done.append(answered)
                if turn + 1 < num_rounds:
                    asking.append((stream, turn + 1, perf_counter()))
        return done


def _take_all(handle: RequestHandle, answered: Answered) -> bool:
    """Take what is there; whether the answer has ended."""
    while (delta := handle.take()) is not None:
        answered.note(len(delta.token_ids))
        if delta.ending is not None:
            return True
    return False


@dataclass(slots=True)
class Served:
    """Streams that ask a server; `ask` answers one question about a clip."""

    ask: Callable[[int, int], Any]

    async def answers(self, num_streams: int, num_rounds: int, max_new_tokens: int) -> list[Answered]:
        """As `Side`."""

        async def stream(number: int) -> list[Answered]:
            return [await self.ask(number + turn, max_new_tokens) for turn in range(num_rounds)]

        return [one for each in await asyncio.gather(*map(stream, range(num_streams))) for one in each]


def through_gateway(client: AsyncGatewayClient, files: Sequence[bytes]) -> Served:
    """Generate of the public API, audio in the message."""

    async def ask(index: int, max_new_tokens: int) -> Answered:
        turns = [
            ChatTurn("user", (GREETING,)),
            ChatTurn("assistant", (GREETING,)),
            ChatTurn("user", (Recording(files[index % len(files)]), QUESTION)),
        ]
        answered = Answered(perf_counter())
        async for delta in client.generate(turns, sampling=sampling(max_new_tokens)):
            answered.note(delta.num_tokens)
        return answered

    return Served(ask)


def decoder_stage(stages: StageClients, embeddings: Sequence[Floats]) -> Served:
    """Generate of the decoder service, the embeddings at hand."""
    numbers = itertools.count()

    async def ask(index: int, max_new_tokens: int) -> Answered:
        rows = embeddings[index % len(embeddings)]
        request = TextRequest(instruction(len(rows)), rows, sampling(max_new_tokens))
        answered = Answered(perf_counter())
        async for delta in stages.generate(request, CallContext(f"bench-{next(numbers)}")):
            answered.note(len(delta.token_ids))
        return answered

    return Served(ask)


async def timed_embed(stages: StageClients, clip: Pcm) -> float:
    """Seconds of one embedding through the stages."""
    started = perf_counter()
    await stages.embed([clip], CallContext("bench-embed"))
    return perf_counter() - started
