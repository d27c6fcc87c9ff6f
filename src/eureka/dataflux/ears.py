"""Who hears for the `gateway` roles: this platform's own model, here, in a worker, or at a gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_types import Upload
from eureka.dataflux.items import Item
from eureka.engine.request import LabelScores
from eureka.pipeline.answers import Answerer
from eureka.pipeline.protocols import AudioEmbedder, AudioEmbeddings, TextDecoder
from eureka.text.segments import segments_of
from eureka.types import (
    AudioPart,
    Constraint,
    Ending,
    Instruction,
    SamplingParams,
    Segment,
    Span,
    Task,
    TextPart,
    TextRequest,
    Turn,
)

MAX_ANSWER_TOKENS = 48
"""Of a generated answer: the longest texts that are options have some twelve words."""

MAX_CAPTION_TOKENS = 256
"""Of a generated caption."""


class Ear(Protocol):
    """Answers about one item, or without it."""

    @property
    def identity(self) -> Any:
        """Model and numerics, as plain JSON."""
        ...

    def describe(self, item: Item) -> tuple[Segment, ...]:
        """What is heard, in segments."""
        ...

    def transcript(self, item: Item) -> str:
        """What is said."""
        ...

    def choose(self, item: Item | None, question: str, options: Sequence[str]) -> tuple[float, ...]:
        """Probability of each option; without an item nothing is heard."""
        ...

    def ask(self, item: Item | None, question: str) -> str:
        """A generated answer."""
        ...


class PipelineEar:
    """An embedder and a decoder behind the pipeline's Protocols, in this process or at stage services.

    Args:
        embedder: pcm to embeddings; those of the last item are kept.
        decoder: instructions to text and scores.
        identity: model and numerics.
    """

    def __init__(self, embedder: AudioEmbedder, decoder: TextDecoder, identity: Any) -> None:
        self._embedder = embedder
        self._decoder = decoder
        self._answerer = Answerer(decoder, lambda: 0.0)
        self._identity = identity
        self._kept: tuple[str, AudioEmbeddings] = ("", np.zeros((0, 0), np.float32))

    @property
    def identity(self) -> Any:
        """Model and numerics."""
        return self._identity

    def describe(self, item: Item) -> tuple[Segment, ...]:
        """What is heard, in segments of the model's own times."""
        request = self._request(Instruction(Task.CAPTION), item, MAX_CAPTION_TOKENS)
        answer = self._answerer.answer(request)
        return segments_of(answer.phrases, Span(0, len(item.pcm))).segments

    def transcript(self, item: Item) -> str:
        """What is said."""
        return self._answerer.answer(self._request(Instruction(Task.TRANSCRIBE), item, 128)).text

    def choose(self, item: Item | None, question: str, options: Sequence[str]) -> tuple[float, ...]:
        """Closed-set score: one prefill of the question, every option continues it."""
        request = self._request(self._question(item, question), item, MAX_ANSWER_TOKENS)
        scores: LabelScores = self._decoder.score(request, options)
        return tuple(scores.probabilities[option] for option in options)

    def ask(self, item: Item | None, question: str) -> str:
        """A greedy answer; one that does not end is none."""
        request = self._request(self._question(item, question), item, MAX_ANSWER_TOKENS)
        answer = self._answerer.answer(request)
        return answer.text if answer.ending is Ending.STOP else ""

    def _question(self, item: Item | None, question: str) -> Instruction:
        text = TextPart(question)
        if item is None:
            return Instruction(Task.ASK, turns=(Turn("user", (text,)),))
        audio = AudioPart(len(self._embedded(item)))
        return Instruction(Task.ASK, turns=(Turn("user", (audio, text)),))

    def _request(self, instruction: Instruction, item: Item | None, max_tokens: int) -> TextRequest:
        rows = np.zeros((0, 0), np.float32) if item is None else self._embedded(item)
        return TextRequest(instruction, rows, SamplingParams(max_new_tokens=max_tokens))

    def _embedded(self, item: Item) -> AudioEmbeddings:
        if self._kept[0] != item.audio_id:
            self._kept = (item.audio_id, self._embedder.embed([item.pcm]))
        return self._kept[1]


class GatewayEar:
    """A gateway by gRPC; an item is uploaded once and named in every call about it.

    The public API scores no question against a closed set, so an option is chosen by decoding under the
    constraint that the answer is one of them, and has the whole probability.

    Args:
        client: of the gateway.
    """

    def __init__(self, client: GatewayClient) -> None:
        self._client = client
        served = client.models().default
        self._identity = ["gateway", served.name, served.weights_sha256, served.numerics]
        self._kept: tuple[str, Upload] | None = None

    @property
    def identity(self) -> Any:
        """Model and numerics that the gateway serves."""
        return self._identity

    def describe(self, item: Item) -> tuple[Segment, ...]:
        """What is heard, in segments."""
        return self._client.caption(self._sent(item)).segments

    def transcript(self, item: Item) -> str:
        """What is said."""
        return self._client.transcribe(self._sent(item)).text

    def choose(self, item: Item | None, question: str, options: Sequence[str]) -> tuple[float, ...]:
        """The option that is decoded, with probability one."""
        constraint = Constraint(choices=tuple(options))
        text = self._answer(item, question, SamplingParams(max_new_tokens=128, constraint=constraint))
        return tuple(float(option.strip() == text) for option in options)

    def ask(self, item: Item | None, question: str) -> str:
        """A greedy answer."""
        return self._answer(item, question, SamplingParams(max_new_tokens=MAX_ANSWER_TOKENS))

    def _answer(self, item: Item | None, question: str, sampling: SamplingParams) -> str:
        audio = () if item is None else (self._sent(item),)
        answer = self._client.ask(question, *audio, sampling=sampling)
        return answer.text.strip()

    def _sent(self, item: Item) -> Upload:
        if self._kept is None or self._kept[0] != item.audio_id:
            self._kept = (item.audio_id, self._client.upload(item.flac()))
        return self._kept[1]
