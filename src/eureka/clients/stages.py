"""StageClients: the three stages as asyncio calls, each with the context of the call that it serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Literal

import grpc
import numpy as np
from numpy.typing import NDArray

from eureka.clients.decoder_wire import (
    card_of,
    delta_of,
    generate_message,
    priority_message,
    score_message,
    scores_of,
)
from eureka.clients.metadata import metadata_of, timeout_of
from eureka.clients.status import error_of
from eureka.clients.tensors import from_tensor, to_tensor
from eureka.engine.request import LabelScores
from eureka.errors import StageUnavailableError
from eureka.spans import NO_TRACER, Span, SpanKind, Tracer
from eureka.stage.v1 import (
    adapter_service_pb2,
    adapter_service_pb2_grpc,
    decoder_service_pb2,
    decoder_service_pb2_grpc,
    encoder_service_pb2,
    encoder_service_pb2_grpc,
)
from eureka.types import SAMPLE_RATE_HZ, CallContext, ModelCard, Pcm, TextDelta, TextRequest

EmbeddingPath = Literal["fused", "two_stage"]
"""fused: the encoder service embeds in one call; two_stage: encoder, then adapter."""

RETRY_PAUSES_SECONDS = (0.1, 0.3)
"""Before the second and third attempt at a stream that gave nothing; unary calls are retried by gRPC."""


class StageClients:
    """Calls encoder, adapter and decoder; for one event loop.

    Args:
        encoder: channel to the encoder service.
        adapter: channel to the adapter service; not used on the fused path.
        decoder: channel to the decoder service.
        embedding_path: see there.
        tracer: makes a span about each call.
    """

    def __init__(
        self,
        encoder: grpc.aio.Channel,
        adapter: grpc.aio.Channel,
        decoder: grpc.aio.Channel,
        embedding_path: EmbeddingPath = "fused",
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._channels = (encoder, adapter, decoder)
        self._encoder = _stub(encoder_service_pb2_grpc.EncoderServiceStub, encoder)
        self._adapter = _stub(adapter_service_pb2_grpc.AdapterServiceStub, adapter)
        self._decoder = _stub(decoder_service_pb2_grpc.DecoderServiceStub, decoder)
        self._embedding_path = embedding_path
        self._tracer = tracer

    async def close(self) -> None:
        """Close the channels; running calls are cancelled."""
        for channel in self._channels:
            await channel.close(None)

    async def embed(self, items: Sequence[Pcm], context: CallContext) -> NDArray[np.float32]:
        """Audio embeddings (A, W) of all items in order; items travel as float32, so that no path rounds.

        Raises:
            EurekaError: as the stages raised it; StageUnavailableError when one is away; CancelledError past
                the deadline.
        """
        pcm = [to_tensor(item, "float32") for item in items]
        priority = priority_message(context.priority)
        if self._embedding_path == "fused":
            embed = encoder_service_pb2.EmbedRequest(pcm=pcm, priority=priority)
            with self._span("EncoderService/Embed", context) as (span, called):
                span.set(audio_seconds=_seconds(items))
                response = await _call(self._encoder.Embed, embed, called)
        else:
            encode = encoder_service_pb2.EncodeRequest(pcm=pcm, priority=priority)
            with self._span("EncoderService/Encode", context) as (span, called):
                span.set(audio_seconds=_seconds(items))
                encoded = await _call(self._encoder.Encode, encode, called)
            adapt = adapter_service_pb2.AdaptRequest(encoder_frames=encoded.encoder_frames, priority=priority)
            with self._span("AdapterService/Adapt", context) as (span, called):
                span.set(audio_seconds=_seconds(items))
                response = await _call(self._adapter.Adapt, adapt, called)
        return from_tensor(response.audio_embeddings).astype(np.float32, copy=False)

    async def generate(self, request: TextRequest, context: CallContext) -> AsyncGenerator[TextDelta, None]:
        """Deltas of an answer; the last one, and only that, carries ending, phrases and usage.

        Closing the iterator cancels the answer. A decoder that is away is asked again, but never after the
        first delta: what was said is not taken back.

        Raises:
            EurekaError: as `embed`.
        """
        for pause in (*RETRY_PAUSES_SECONDS, None):
            has_begun = False
            try:
                async with aclosing(self._deltas(request, context)) as deltas:
                    async for delta in deltas:
                        has_begun = True
                        yield delta
                return
            except StageUnavailableError:
                if has_begun or pause is None or _is_over(context, pause):
                    raise
            await asyncio.sleep(pause)

    async def score(self, request: TextRequest, labels: Sequence[str], context: CallContext) -> LabelScores:
        """Scores of a closed set of answers, named as `labels` are; errors as `embed`."""
        with self._span("DecoderService/Score", context) as (span, called):
            span.set(audio_tokens=len(request.audio_embeddings), labels=len(labels))
            response = await _call(self._decoder.Score, score_message(request, labels), called)
            scores = scores_of(response, labels)
            span.set(prompt_tokens=scores.usage.prompt_tokens)
        return scores

    async def describe(self, context: CallContext) -> ModelCard:
        """The checkpoint that the decoder serves; errors as `embed`."""
        return card_of(await _call(self._decoder.Describe, decoder_service_pb2.DescribeRequest(), context))

    async def _deltas(self, request: TextRequest, context: CallContext) -> AsyncGenerator[TextDelta, None]:
        with self._span("DecoderService/Generate", context) as (span, called):
            span.set(audio_tokens=len(request.audio_embeddings))
            async with aclosing(self._answer(request, called)) as deltas:
                async for delta in deltas:
                    set_end(span, delta)
                    yield delta

    @contextmanager
    def _span(self, name: str, context: CallContext) -> Iterator[tuple[Span, CallContext]]:
        """A span about a call that belongs to a trace, and the context that the call is made with."""
        tracer = self._tracer if context.traceparent else NO_TRACER
        with tracer.span(name, context.traceparent, SpanKind.CLIENT) as span:
            yield span, replace(context, traceparent=span.traceparent) if tracer.is_on else context

    async def _answer(self, request: TextRequest, context: CallContext) -> AsyncGenerator[TextDelta, None]:
        call = self._decoder.Generate(
            generate_message(request), timeout=timeout_of(context), metadata=metadata_of(context)
        )
        has_ended = False
        try:
            async for message in call:
                delta = delta_of(message)
                has_ended = delta.ending is not None
                yield delta
        except grpc.RpcError as error:
            raise error_of(error) from error
        finally:
            call.cancel()
        if not has_ended:
            raise StageUnavailableError("the decoder's stream ended without an end", reason="STREAM_BROKEN")


def set_end(span: Span, delta: TextDelta) -> None:
    """Say on a span what the last delta of an answer tells."""
    if delta.ending is not None:
        span.set(ending=delta.ending.value)
    if delta.usage is not None:
        usage = delta.usage
        span.set(prompt_tokens=usage.prompt_tokens, generated_tokens=usage.generated_tokens)
        span.set(**{f"{stage}_seconds": spent for stage, spent in usage.seconds.items()})


def _seconds(items: Sequence[Pcm]) -> float:
    return sum(map(len, items)) / SAMPLE_RATE_HZ


def _stub(kind: Callable[[grpc.aio.Channel], Any], channel: grpc.aio.Channel) -> Any:
    """Generated stubs have no types."""
    return kind(channel)


async def _call(method: Callable[..., Awaitable[Any]], message: Any, context: CallContext) -> Any:
    try:
        return await method(message, timeout=timeout_of(context), metadata=metadata_of(context))
    except grpc.RpcError as error:
        raise error_of(error) from error


def _is_over(context: CallContext, pause_seconds: float) -> bool:
    """Whether the deadline passes before another attempt."""
    return context.deadline is not None and time.monotonic() + pause_seconds >= context.deadline
