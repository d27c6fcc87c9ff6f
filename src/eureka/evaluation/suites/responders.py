"""Who answers the inquiries of a suite: a checkpoint in this process, or whatever a gateway serves."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_types import ChatTurn, Recording
from eureka.engine.choice import BackendChoice
from eureka.errors import AudioTooLongError
from eureka.evaluation.hearing import NUM_SLOTS, Ear, weights_digest
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suites.items import Inquiry, Reply
from eureka.model.config import EurekaConfig
from eureka.pipeline.conversation import AudioItem, SpokenTurn
from eureka.pipeline.options import ListenOptions
from eureka.types import (
    SAMPLE_RATE_HZ,
    AudioPart,
    Constraint,
    HearingResult,
    Instruction,
    Pcm,
    SamplingParams,
    SegmentSource,
    Task,
    TextPart,
    TextRequest,
    Turn,
)

MAX_NEW_TOKENS = 512
"""Of an answer: what the released model's own interface takes when nothing is said."""

MAX_SCORED_SECONDS = 120.0
"""Audio that one question may carry; as the pipeline's own limit."""

LABEL_TOKENS = 64
"""Of an answer that is one of a closed set."""


class Responder(Protocol):
    """A model that can be asked; a context manager."""

    @property
    def identity(self) -> dict[str, str]:
        """What answers, as far as it decides the answers: equal identities answer equally."""
        ...

    @property
    def num_at_once(self) -> int:
        """Inquiries that are worth asking at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def answer(self, pcm: Pcm, inquiry: Inquiry) -> Reply:
        """The reply to one inquiry about one piece of audio.

        Raises:
            EurekaError: it was refused.
        """
        ...


class EngineResponder:
    """A checkpoint in this process, its engine set so that a result does not depend on what runs beside it.

    Args:
        folder: of the checkpoint.
        choice: what computes.
        max_new_tokens: bound of an answer in words.
        num_slots: inquiries decoded together.
    """

    def __init__(
        self,
        folder: Path,
        choice: BackendChoice | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        num_slots: int = NUM_SLOTS,
    ) -> None:
        choice = replace(choice or BackendChoice(), batch_invariant=True)
        self._ear = Ear.from_folder(folder, choice, num_slots)
        self._sampling = SamplingParams(max_new_tokens=max_new_tokens)
        self._num_slots = num_slots
        self.identity = {
            "model": self._ear.name,
            "weights_sha256": weights_digest(folder),
            "backend": choice.resolve(EurekaConfig.from_folder(folder)),
            "numerics": choice.numerics,
            "dtype": choice.dtype,
            "max_new_tokens": str(max_new_tokens),
        }

    @property
    def num_at_once(self) -> int:
        """As many as the engine has slots."""
        return self._num_slots

    def __enter__(self) -> Self:
        self._ear.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ear.__exit__(kind, error, traceback)

    def answer(self, pcm: Pcm, inquiry: Inquiry) -> Reply:
        """The reply to one inquiry; raises as the pipeline does."""
        if inquiry.task is Task.ASK and inquiry.labels:
            return Reply(self._choose(pcm, inquiry))
        return reply_of(self._listen(pcm, inquiry))

    def _listen(self, pcm: Pcm, inquiry: Inquiry) -> HearingResult:
        listener, options = self._ear.listener, ListenOptions(sampling=self._sampling)
        if inquiry.task is Task.TRANSCRIBE:
            return listener.transcribe("", [pcm], options)
        if inquiry.task is Task.CAPTION:
            return listener.caption("", [pcm], options)
        if inquiry.task is Task.CLASSIFY:
            return listener.classify("", [pcm], inquiry.labels)
        parts: tuple[TextPart | AudioItem, ...] = (AudioItem([pcm]), *_text_parts(inquiry))
        return listener.converse("", [SpokenTurn("user", parts)], options)

    def _choose(self, pcm: Pcm, inquiry: Inquiry) -> str:
        """The best of the labels as the whole answer to the question."""
        if len(pcm) > MAX_SCORED_SECONDS * SAMPLE_RATE_HZ:
            raise AudioTooLongError(f"one question takes at most {MAX_SCORED_SECONDS:g} s of audio")
        embeddings = self._ear.embedder.embed([pcm])
        turn = Turn("user", (AudioPart(len(embeddings)), *_text_parts(inquiry)))
        request = TextRequest(Instruction(Task.ASK, turns=(turn,)), embeddings)
        return self._ear.decoder.score(request, inquiry.labels).best


class GatewayResponder:
    """The default model of a gateway. A closed set is not scored there but decoded under a constraint.

    For labels of one token, as letters are, greedy decoding under the constraint finds the one with the best
    score but for the end token; for longer labels it may find another.

    Args:
        client: of the gateway; closed when the responder is left.
        max_new_tokens: bound of an answer in words.
        num_at_once: calls in flight.
    """

    def __init__(
        self, client: GatewayClient, max_new_tokens: int = MAX_NEW_TOKENS, num_at_once: int = NUM_SLOTS
    ) -> None:
        self._client = client
        self._max_new_tokens = max_new_tokens
        self._num_at_once = num_at_once
        served = client.models().default
        self.identity = {
            "model": served.name,
            "weights_sha256": served.weights_sha256,
            "backend": "gateway",
            "numerics": served.numerics,
            "max_new_tokens": str(max_new_tokens),
        }

    @property
    def num_at_once(self) -> int:
        """Calls in flight."""
        return self._num_at_once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def answer(self, pcm: Pcm, inquiry: Inquiry) -> Reply:
        """The reply to one inquiry; raises what the gateway says."""
        audio, sampling = float_wav(pcm), SamplingParams(max_new_tokens=self._max_new_tokens)
        if inquiry.task is Task.TRANSCRIBE:
            return reply_of(self._client.transcribe(audio, sampling=sampling))
        if inquiry.task is Task.CAPTION:
            return reply_of(self._client.caption(audio, sampling=sampling))
        if inquiry.task is Task.CLASSIFY:
            return reply_of(self._client.classify(audio, inquiry.labels))
        if inquiry.labels:
            constraint = Constraint(choices=inquiry.labels)
            sampling = SamplingParams(max_new_tokens=LABEL_TOKENS, constraint=constraint)
        return reply_of(self._client.ask(_question(audio, inquiry), sampling=sampling))


def _text_parts(inquiry: Inquiry) -> tuple[TextPart, ...]:
    """The question as a part; none where the audio alone asks."""
    return (TextPart(inquiry.text),) if inquiry.text else ()


def _question(audio: bytes, inquiry: Inquiry) -> list[ChatTurn]:
    parts: tuple[str | Recording, ...] = (
        (Recording(audio), inquiry.text) if inquiry.text else (Recording(audio),)
    )
    return [ChatTurn("user", parts)]


def reply_of(result: HearingResult) -> Reply:
    """What suites read of a result: its text, and the events to which the model itself gave times."""
    events = tuple(
        TimedEvent(segment.text, segment.start_seconds, segment.end_seconds)
        for segment in result.segments
        if segment.source is SegmentSource.MODEL
    )
    return Reply(result.text, events, num_tokens=result.usage.generated_tokens)


def float_wav(pcm: Pcm) -> bytes:
    """The samples as a WAV file of 32-bit floats, so that a gateway hears exactly them."""
    samples = np.ascontiguousarray(pcm, dtype="<f4").tobytes()
    block = 4
    layout = struct.pack("<HHIIHHH", 3, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * block, block, 32, 0)
    fact = struct.pack("<I", len(pcm))
    chunks = _chunk(b"fmt ", layout) + _chunk(b"fact", fact) + _chunk(b"data", samples)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
