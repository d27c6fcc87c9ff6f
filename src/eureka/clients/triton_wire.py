"""Triton's protocol messages to and from arrays, and its errors to ours; no I/O here.

Used by the asyncio client and by whoever asks a server from a thread.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from eureka.clients.channels import MAX_MESSAGE_BYTES
from eureka.clients.shared_regions import SharedRegion
from eureka.engine.messages import (
    AUDIO_ENCODER,
    AUDIO_FRONTEND,
    DELTA,
    ENCODER_FRAMES,
    ITEM_LENGTHS,
    LLM_DECODER,
    MOE_ADAPTER,
    PCM,
    PROMPT_AUDIO,
    PROMPT_IDS,
    REQUEST,
    TOKEN_IDS,
    TOKEN_TYPE_IDS,
    TRACEPARENT,
    DecoderAnswer,
    DecoderCall,
    ModelSpec,
    parse_delta,
    parse_error,
    request_json,
)
from eureka.engine.request import Request
from eureka.errors import (
    AlreadyExistsError,
    CancelledError,
    EurekaError,
    InvalidInputError,
    NotFoundError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import SAMPLES_PER_AUDIO_TOKEN, Priority, SamplingParams

Arrays = Mapping[str, NDArray[Any]]
Metadata: TypeAlias = tuple[tuple[str, str], ...]

_DTYPES: dict[str, type[np.generic]] = {"FP32": np.float32, "INT64": np.int64, "BYTES": np.object_}
_FINAL = "triton_final_response"
_ASK_FOR_FINAL = "triton_enable_empty_final_response"


def infer_request(spec: ModelSpec, arrays: Arrays, request_id: str = "") -> service_pb2.ModelInferRequest:
    """A request with its tensors inline.

    Args:
        spec: the model; a size of 1 is put before each tensor if it batches.
        arrays: by name; optional inputs may be missing. BYTES are arrays of bytes objects.
        request_id: for the server's log.
    """
    message = service_pb2.ModelInferRequest(model_name=spec.name, id=request_id)
    for tensor in spec.inputs:
        if tensor.name in arrays:
            array = arrays[tensor.name]
            add_input(message, spec, tensor.name, tensor.datatype, array.shape)
            message.raw_input_contents.append(to_raw(array, tensor.datatype))
    return message


def traced(message: service_pb2.ModelInferRequest, traceparent: str) -> Metadata:
    """Make a request part of a trace: a parameter for the model, and metadata for Triton's own tracing."""
    message.parameters[TRACEPARENT].string_param = traceparent
    return ((TRACEPARENT, traceparent),)


def add_input(
    message: service_pb2.ModelInferRequest, spec: ModelSpec, name: str, datatype: str, shape: tuple[int, ...]
) -> Any:
    """Declare an input without its content; the protobuf entry is returned."""
    return message.inputs.add(name=name, datatype=datatype, shape=[1, *shape] if spec.is_batched else shape)


def decoder_request(call: DecoderCall, now: float) -> service_pb2.ModelInferRequest:
    """A request to the decoder, asking for the final flag; `now` is on the clock of its deadline."""
    request = call.request
    arrays: dict[str, NDArray[Any]] = {
        PROMPT_IDS.name: request.prompt_ids,
        TOKEN_TYPE_IDS.name: request.token_type_ids,
        REQUEST.name: np.array([request_json(request, call.labels, now)], dtype=np.object_),
    }
    if request.audio_embeddings.size:
        arrays[PROMPT_AUDIO.name] = request.audio_embeddings
    message = infer_request(LLM_DECODER, arrays, request.request_id)
    message.parameters[_ASK_FOR_FINAL].bool_param = True
    return message


def read_outputs(spec: ModelSpec, response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """Arrays of a response that came inline, without the size of the batch."""
    arrays = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        shape = tuple(output.shape)[1:] if spec.is_batched else tuple(output.shape)
        arrays[output.name] = from_raw(raw, output.datatype, shape)
    return arrays


def is_final(message: service_pb2.ModelStreamInferResponse) -> bool:
    """Whether a message, answer or error, is the last of its request."""
    parameters = message.infer_response.parameters
    return _FINAL in parameters and bool(parameters[_FINAL].bool_param)


def read_stream_response(message: service_pb2.ModelStreamInferResponse) -> DecoderAnswer | None:
    """The answer in one message of the decoder's stream; None for a bare final flag.

    Raises:
        EurekaError: the message is an error.
    """
    if message.error_message:
        raise error_of_text(message.error_message)
    outputs = read_outputs(LLM_DECODER, message.infer_response)
    if TOKEN_IDS.name not in outputs:
        return None
    return parse_delta(outputs[TOKEN_IDS.name], outputs[DELTA.name][0])


def to_raw(array: NDArray[Any], datatype: str) -> bytes:
    """Content of a tensor as Triton wants it."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(item)) + item for item in array.ravel())
    return np.ascontiguousarray(array, dtype=_DTYPES[datatype]).tobytes()


def from_raw(raw: bytes | memoryview, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array of a tensor's content; a view of `raw` where it holds numbers."""
    if datatype == "BYTES":
        return np.array([*_split_bytes(bytes(raw))], dtype=np.object_).reshape(shape)
    return np.frombuffer(raw, dtype=_DTYPES[datatype], count=math.prod(shape)).reshape(shape)


def probe_request(model: str) -> service_pb2.ModelInferRequest:
    """The smallest real request to a model: one audio token, or one token after a prompt of two.

    Raises:
        NotFoundError: no model of ours has this name.
    """
    pcm = np.zeros(SAMPLES_PER_AUDIO_TOKEN, dtype=np.float32)
    audio: Arrays = {PCM.name: pcm, ITEM_LENGTHS.name: np.array([len(pcm)], dtype=np.int64)}
    if model == AUDIO_ENCODER.name:
        return infer_request(AUDIO_ENCODER, audio)
    if model == AUDIO_FRONTEND.name:
        return infer_request(AUDIO_FRONTEND, audio)
    if model == MOE_ADAPTER.name:
        return infer_request(MOE_ADAPTER, {ENCODER_FRAMES.name: np.zeros((0, 0), dtype=np.float32)})
    if model == LLM_DECODER.name:
        return decoder_request(DecoderCall(_probe()), 0.0)
    raise NotFoundError(f"there is no model {model!r}")


def error_of_rpc(error: grpc.RpcError) -> EurekaError:
    """Our error for a failed call: the one that a backend raised, else by text and code of Triton's own."""
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CancelledError("the deadline passed", reason="DEADLINE_EXCEEDED")
    if code is grpc.StatusCode.CANCELLED:
        return CancelledError("the call was cancelled")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return InvalidInputError(
            f"message over {MAX_MESSAGE_BYTES} bytes: {text}", reason="MESSAGE_TOO_LARGE"
        )
    return error_of_text(text, _BY_CODE.get(code, EurekaError))


def error_of_text(text: str, kind: type[EurekaError] = EurekaError) -> EurekaError:
    """Our error for an error text; `kind` where the text does not tell."""
    own = parse_error(text)
    if own is not None:
        return own
    lowered = text.lower()
    if "stub process" in lowered:
        return StageUnavailableError("the model's process is gone; try again", reason="MODEL_GONE")
    if "maximum queue size" in lowered:
        return QueueFullError("Triton's queue for the model is full; try again later")
    if "unknown model" in lowered or "no available versions" in lowered or "is not ready" in lowered:
        return StageUnavailableError(f"the model is not loaded: {text}", reason="MODEL_NOT_READY")
    return kind(f"Triton: {text}")


_BY_CODE: dict[grpc.StatusCode, type[EurekaError]] = {
    grpc.StatusCode.UNAVAILABLE: StageUnavailableError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
}


def _split_bytes(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        (size,) = struct.unpack_from("<I", raw, start)
        yield raw[start + 4 : start + 4 + size]
        start += 4 + size


def _probe() -> Request:
    ids = np.zeros(2, dtype=np.int64)
    one = SamplingParams(max_new_tokens=1)
    return Request(f"probe-{uuid4().hex}", ids, ids, sampling=one, priority=Priority.PROBE)


def share_tensors(
    message: service_pb2.ModelInferRequest, spec: ModelSpec, arrays: Arrays, region: SharedRegion
) -> int:
    """Put the inputs of a request into a region; the offset behind them."""
    offset = 0
    for tensor in spec.inputs:
        array = arrays[tensor.name]
        entry = add_input(message, spec, tensor.name, tensor.datatype, array.shape)
        _place(entry, region.name, offset, array.nbytes)
        offset = region.write(offset, array)
    return offset


def shared_output(
    message: service_pb2.ModelInferRequest, name: str, region_name: str, offset: int, num_bytes: int
) -> None:
    """Ask for an output in a region."""
    _place(message.outputs.add(name=name), region_name, offset, num_bytes)


def _place(entry: Any, region_name: str, offset: int, num_bytes: int) -> None:
    entry.parameters["shared_memory_region"].string_param = region_name
    entry.parameters["shared_memory_offset"].int64_param = offset
    entry.parameters["shared_memory_byte_size"].int64_param = num_bytes
