"""TritonClient: our models in a Triton server, by asyncio; arrays and deltas in and out.

Built on the generated stub: the wrapper of tritonclient hides the final flag of decoupled models.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.open_calls import OpenCalls
from eureka.clients.shared_regions import RegionPool, SharedRegion, padded_bytes
from eureka.clients.triton_wire import (
    Arrays,
    Metadata,
    decoder_request,
    error_of_rpc,
    from_raw,
    infer_request,
    is_final,
    probe_request,
    read_outputs,
    read_stream_response,
    share_tensors,
    shared_output,
    traced,
)
from eureka.engine.messages import (
    AUDIO_EMBEDDINGS,
    AUDIO_ENCODER,
    AUDIO_FRONTEND,
    ENCODER_FRAMES,
    ITEM_LENGTHS,
    LLM_DECODER,
    MOE_ADAPTER,
    PCM,
    DecoderAnswer,
    DecoderCall,
    ModelSpec,
)
from eureka.engine.request import Delta, Floats, Label, LabelScores, Request
from eureka.errors import CancelledError, EurekaError, NotFoundError, StageUnavailableError
from eureka.spans import NO_TRACER, SpanKind, Tracer
from eureka.types import SAMPLES_PER_AUDIO_TOKEN, Ending, Pcm

_NO_KEEPALIVE_SECONDS = 2_000_000.0
"""Triton ends connections whose client pings more often than each 300 s; a local one needs no pings."""

_DEADLINE_GRACE_SECONDS = 1.0
"""The engine ends a late answer with DEADLINE and its usage; only if it does not, the call is given up."""

_LOAD_SECONDS = 120.0
"""A model of gigabytes loads in well under this time."""

_FRAMES_PER_AUDIO_TOKEN = 4


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """How a client behaves.

    Attributes:
        transport: tensors inline, or in shared memory of the machine that both are on.
        idle_timeout_seconds: silence on a stream after which the model's process counts as gone; the decoder
            gives a sign of life each second.
        call_timeout_seconds: longest unary call without a deadline of its own.
        num_regions: calls that may use shared memory at a time.
    """

    transport: Literal["inline", "shared_memory"] = "inline"
    idle_timeout_seconds: float = 10.0
    call_timeout_seconds: float = 120.0
    num_regions: int = 4


class TritonClient:
    """Calls our models; for one event loop.

    Args:
        target: the server's gRPC address, host:port.
        options: see there.
        tracer: makes a span about each inference that is part of a trace.
        traceparent: gives the trace context of the call that is served, asked at each inference.
    """

    def __init__(
        self,
        target: str,
        options: TritonOptions | None = None,
        tracer: Tracer = NO_TRACER,
        traceparent: Callable[[], str] = str,
    ) -> None:
        self._options = options or TritonOptions()
        self._tracer, self._traceparent = tracer, traceparent
        self._channel = open_channel(ChannelConfig(target, keepalive_seconds=_NO_KEEPALIVE_SECONDS))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._regions = RegionPool(self, self._options.num_regions)
        self._open = OpenCalls()
        self._row_bytes: dict[str, int] = {}  # model -> bytes of an output row, learned from its first answer

    async def __aenter__(self) -> TritonClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove shared memory and end the connection."""
        await self._regions.close()
        await self._channel.close(None)

    # -- audio -------------------------------------------------------------------------------------

    async def infer_frames(self, items: Sequence[Pcm], deadline: float | None = None) -> Floats:
        """Encoder frames (T, D) of the items of one request, by audio_encoder.

        Args:
            items: pcm (S,) each.
            deadline: on the monotonic clock.

        Raises:
            EurekaError: as the backend raised it; StageUnavailableError when it is away (MODEL_GONE when its
                process is); CancelledError past the deadline.
        """
        rows = _FRAMES_PER_AUDIO_TOKEN * _num_audio_tokens(items)
        return await self._infer(AUDIO_ENCODER, _audio_arrays(items), ENCODER_FRAMES.name, rows, deadline)

    async def adapt(self, frames: Floats, deadline: float | None = None) -> Floats:
        """Audio embeddings (A, W) of encoder frames (T, D), by moe_adapter; raises as `infer_frames`."""
        arrays = {ENCODER_FRAMES.name: np.ascontiguousarray(frames, dtype=np.float32)}
        rows = len(frames) // _FRAMES_PER_AUDIO_TOKEN
        return await self._infer(MOE_ADAPTER, arrays, AUDIO_EMBEDDINGS.name, rows, deadline)

    async def embed(self, items: Sequence[Pcm], deadline: float | None = None) -> Floats:
        """Audio embeddings (A, W) of items, by audio_frontend in one call; raises as `infer_frames`."""
        rows = _num_audio_tokens(items)
        return await self._infer(AUDIO_FRONTEND, _audio_arrays(items), AUDIO_EMBEDDINGS.name, rows, deadline)

    # -- text --------------------------------------------------------------------------------------

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of an answer, each with one token or several; the last one carries the ending.

        Closing the iterator cancels the request in the engine.

        Raises:
            EurekaError: the request was not accepted; StageUnavailableError with MODEL_GONE when nothing came
                for the idle timeout, or `end_calls` said so; CancelledError long past its deadline.
        """
        async with aclosing(self._answers(DecoderCall(request))) as answers:
            async for answer in answers:
                yield answer.delta

    async def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        """Log-probabilities of a closed set of answers.

        Raises:
            CancelledError: cancelled or late; otherwise as `generate`.
        """
        ending = None
        async with aclosing(self._answers(DecoderCall(request, tuple(labels)))) as answers:
            async for answer in answers:
                if answer.scores is not None:
                    return answer.scores
                ending = answer.delta.ending
        if ending is Ending.DEADLINE:
            raise CancelledError(f"request {request.request_id}: deadline passed", reason="DEADLINE_EXCEEDED")
        if ending is Ending.CANCELLED:
            raise CancelledError(f"request {request.request_id} was cancelled")
        raise EurekaError(f"request {request.request_id}: scoring failed")

    # -- models ------------------------------------------------------------------------------------

    async def load(self, model: str, parameters: Mapping[str, str] | None = None) -> None:
        """Load a model, or load it again; it is ready when this returns.

        Args:
            model: its name.
            parameters: `checkpoint`, `num_slots` and the like, before environment and config.pbtxt.

        Raises:
            EurekaError: it does not load; the server's log says why.
        """
        message = service_pb2.RepositoryModelLoadRequest(model_name=model)
        if parameters:
            message.parameters["config"].string_param = await self._overridden(model, parameters)
        await self._call(self._stub.RepositoryModelLoad, message, _LOAD_SECONDS)

    async def unload(self, model: str) -> None:
        """Unload a model and wait until it is gone; what it runs ends first."""
        message = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        await self._call(self._stub.RepositoryModelUnload, message, _LOAD_SECONDS)
        while await self.ready(model):
            await asyncio.sleep(0.05)

    async def ready(self, model: str) -> bool:
        """Whether Triton calls the model ready; it says so also when the model's process is gone."""
        message = service_pb2.ModelReadyRequest(name=model)
        try:
            answer = await self._call(self._stub.ModelReady, message, self._options.idle_timeout_seconds)
        except NotFoundError:
            return False
        return bool(answer.ready)

    def end_calls(self, model: str) -> None:
        """End the open calls to a model that is known to be gone, each with MODEL_GONE."""
        self._open.end(model)

    async def probe(self, model: str) -> None:
        """A tiny real inference; raises as the model's own call."""
        message = probe_request(model)
        if model == LLM_DECODER.name:
            async with aclosing(self._stream(message, None)) as answers:
                async for _ in answers:
                    pass
        else:
            await self._ask(message, self._options.idle_timeout_seconds)

    # -- shared memory -----------------------------------------------------------------------------

    async def register_region(self, name: str, key: str, num_bytes: int) -> None:
        """As `RegionRegistry`."""
        message = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=num_bytes)
        await self._call(self._stub.SystemSharedMemoryRegister, message, self._options.call_timeout_seconds)

    async def unregister_region(self, name: str) -> None:
        """As `RegionRegistry`."""
        message = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        await self._call(self._stub.SystemSharedMemoryUnregister, message, self._options.call_timeout_seconds)

    # -- how ---------------------------------------------------------------------------------------

    async def _infer(
        self, spec: ModelSpec, arrays: Arrays, output: str, num_rows: int, deadline: float | None
    ) -> Floats:
        """One unary inference with one output of `num_rows` rows."""
        timeout = self._timeout(deadline)
        if self._options.transport == "shared_memory" and spec.name in self._row_bytes:
            try:
                return await asyncio.wait_for(self._infer_shared(spec, arrays, output, num_rows), timeout)
            except TimeoutError as error:
                raise CancelledError("the deadline passed", reason="DEADLINE_EXCEEDED") from error
        message = infer_request(spec, arrays)
        response = await self._ask(message, timeout)
        array = read_outputs(spec, response)[output]
        self._row_bytes[spec.name] = array.itemsize * array.shape[-1]
        return array

    async def _infer_shared(self, spec: ModelSpec, arrays: Arrays, output: str, num_rows: int) -> Floats:
        """As `_infer`, tensors in a region."""
        out_bytes = num_rows * self._row_bytes[spec.name]
        return await self._regions.run(
            padded_bytes(*arrays.values()) + out_bytes,
            lambda region: self._infer_in(region, spec, arrays, output, out_bytes),
        )

    async def _infer_in(
        self, region: SharedRegion, spec: ModelSpec, arrays: Arrays, output: str, out_bytes: int
    ) -> Floats:
        message = service_pb2.ModelInferRequest(model_name=spec.name)
        offset = share_tensors(message, spec, arrays, region)
        shared_output(message, output, region.name, offset, out_bytes)
        response = await self._ask(message, self._options.call_timeout_seconds)
        shape = tuple(response.outputs[0].shape)[1:]
        return from_raw(region.read(offset, out_bytes), response.outputs[0].datatype, shape)

    async def _answers(self, call: DecoderCall) -> AsyncGenerator[DecoderAnswer, None]:
        """Answers of the decoder with something in them, up to the ending."""
        deadline = call.request.deadline
        message = decoder_request(call, time.monotonic())
        async with aclosing(self._stream(message, deadline)) as answers:
            async for answer in answers:
                if answer.delta.token_ids or answer.delta.ending is not None:
                    yield answer

    async def _stream(
        self, message: service_pb2.ModelInferRequest, deadline: float | None
    ) -> AsyncGenerator[DecoderAnswer, None]:
        """All answers to one request; the stream is cancelled if this is closed before the final."""
        timeout = None if deadline is None else self._timeout(deadline) + _DEADLINE_GRACE_SECONDS
        with self._span(message) as metadata:
            async with aclosing(self._replies(message, timeout, metadata)) as answers:
                async for answer in answers:
                    yield answer

    async def _replies(
        self, message: service_pb2.ModelInferRequest, timeout: float | None, metadata: Metadata
    ) -> AsyncGenerator[DecoderAnswer, None]:
        stream = self._stub.ModelStreamInfer(_only(message), timeout=timeout, metadata=metadata)
        has_final = False
        try:
            with self._open.holding(message.model_name, stream):
                while not has_final:
                    reply = await self._next(stream)
                    has_final = is_final(reply)
                    if has_final:
                        await self._end_of(stream)
                    answer = read_stream_response(reply)
                    if answer is not None:
                        yield answer
        except grpc.RpcError as error:
            raise error_of_rpc(error) from error
        finally:
            stream.cancel()

    async def _next(self, stream: Any) -> service_pb2.ModelStreamInferResponse:
        idle = self._options.idle_timeout_seconds
        try:
            reply = await asyncio.wait_for(stream.read(), idle)
        except TimeoutError as error:
            message = f"the decoder was silent for {idle:g} s; its process is gone"
            raise StageUnavailableError(message, reason="MODEL_GONE") from error
        if not isinstance(reply, service_pb2.ModelStreamInferResponse):  # the end of the stream
            raise StageUnavailableError("the decoder's stream ended without a final", reason="MODEL_GONE")
        return reply

    async def _end_of(self, stream: Any) -> None:
        """Let the server close a stream whose final has come.

        Cancelled at that moment, 2.51 now and then keeps the request, and its model can never be unloaded.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stream.read(), self._options.idle_timeout_seconds)

    async def _ask(self, message: service_pb2.ModelInferRequest, timeout: float) -> Any:
        """A unary inference."""
        with self._span(message) as metadata:
            call = self._stub.ModelInfer(message, timeout=timeout, metadata=metadata)
            try:
                with self._open.holding(message.model_name, call):
                    return await call
            except grpc.RpcError as error:
                raise error_of_rpc(error) from error

    @contextlib.contextmanager
    def _span(self, message: service_pb2.ModelInferRequest) -> Iterator[Metadata]:
        """A span about an inference that is part of a trace; the model and Triton itself are told of it."""
        parent = self._traceparent() if self._tracer.is_on else ""
        if not parent:
            yield ()
            return
        with self._tracer.span(f"triton/{message.model_name}", parent, SpanKind.CLIENT) as span:
            yield traced(message, span.traceparent)

    async def _call(self, method: Any, message: Any, timeout: float) -> Any:
        try:
            return await method(message, timeout=timeout)
        except grpc.RpcError as error:
            raise error_of_rpc(error) from error

    def _timeout(self, deadline: float | None) -> float:
        if deadline is None:
            return self._options.call_timeout_seconds
        return max(0.0, deadline - time.monotonic())

    async def _overridden(self, model: str, parameters: Mapping[str, str]) -> str:
        """The model's config as JSON with parameters replaced."""
        from google.protobuf import json_format

        request = service_pb2.ModelConfigRequest(name=model)
        config = (await self._call(self._stub.ModelConfig, request, _LOAD_SECONDS)).config
        for name, value in parameters.items():
            config.parameters[name].string_value = value
        return json_format.MessageToJson(config, preserving_proto_field_name=True)


async def _only(message: service_pb2.ModelInferRequest) -> AsyncIterator[service_pb2.ModelInferRequest]:
    yield message


def _audio_arrays(items: Sequence[Pcm]) -> dict[str, NDArray[Any]]:
    lengths = np.array([len(pcm) for pcm in items], dtype=np.int64)
    joined = np.concatenate(items) if items else np.zeros(0)
    return {PCM.name: joined.astype(np.float32, copy=False), ITEM_LENGTHS.name: lengths}


def _num_audio_tokens(items: Sequence[Pcm]) -> int:
    return sum(-(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN) for pcm in items)
