"""Triton's messages to arrays and back, and its own errors to ours."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from eureka.clients.shared_regions import SharedRegion, padded_bytes
from eureka.clients.triton_wire import (
    decoder_request,
    error_of_text,
    from_raw,
    infer_request,
    is_final,
    probe_request,
    read_outputs,
    read_stream_response,
    share_tensors,
    to_raw,
)
from eureka.engine.messages import AUDIO_ENCODER, LLM_DECODER, MODELS, DecoderCall
from eureka.errors import (
    EurekaError,
    InvalidInputError,
    NotFoundError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import Ending
from tests.helpers.requests import make_request

AUDIO = {"pcm": np.arange(5, dtype=np.float32), "item_lengths": np.array([2, 3])}


def test_batching_model_gets_a_size_of_one_in_front() -> None:
    message = infer_request(AUDIO_ENCODER, AUDIO, "some-id")
    assert [tuple(tensor.shape) for tensor in message.inputs] == [(1, 5), (1, 2)]
    assert (message.model_name, message.id) == ("audio_encoder", "some-id")
    np.testing.assert_array_equal(from_raw(message.raw_input_contents[0], "FP32", (5,)), AUDIO["pcm"])


def test_decoder_request_asks_for_the_final_flag_and_leaves_missing_audio_out() -> None:
    with_audio = decoder_request(DecoderCall(make_request(1)), 0.0)
    without = decoder_request(DecoderCall(make_request(1, num_audio=0)), 0.0)
    assert with_audio.parameters["triton_enable_empty_final_response"].bool_param
    assert [tensor.name for tensor in with_audio.inputs] == [tensor.name for tensor in LLM_DECODER.inputs]
    assert "audio_embeddings" not in [tensor.name for tensor in without.inputs]


def test_bytes_tensor_survives_the_crossing() -> None:
    array = np.array([b"", b"one", "zwölf".encode()], dtype=np.object_)
    back = from_raw(to_raw(array, "BYTES"), "BYTES", (3,))
    assert back.tolist() == array.tolist()


def test_outputs_lose_the_size_of_the_batch() -> None:
    frames = np.arange(8, dtype=np.float32).reshape(4, 2)
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="encoder_frames", datatype="FP32", shape=[1, 4, 2])
    response.raw_output_contents.append(frames.tobytes())
    np.testing.assert_array_equal(read_outputs(AUDIO_ENCODER, response)["encoder_frames"], frames)


def test_stream_response_gives_delta_and_final_flag() -> None:
    message = service_pb2.ModelStreamInferResponse()
    response = message.infer_response
    response.outputs.add(name="token_ids", datatype="INT64", shape=[2])
    response.outputs.add(name="delta", datatype="BYTES", shape=[1])
    text = np.array([b'{"ending": "STOP"}'], dtype=np.object_)
    response.raw_output_contents.extend([np.array([3, 4]).tobytes(), to_raw(text, "BYTES")])
    answer = read_stream_response(message)
    assert answer is not None and not is_final(message)
    assert (answer.delta.token_ids, answer.delta.ending) == ((3, 4), Ending.STOP)
    response.parameters["triton_final_response"].bool_param = True
    assert is_final(message)


def test_stream_response_with_an_error_raises_it() -> None:
    message = service_pb2.ModelStreamInferResponse(error_message="QUEUE_FULL: 4 wait")
    with pytest.raises(QueueFullError, match="4 wait"):
        read_stream_response(message)


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("Stub process 'llm_decoder_0_0' is not healthy.", StageUnavailableError, "MODEL_GONE"),
        ("[request id: a] Exceeds maximum queue size", QueueFullError, "QUEUE_FULL"),
        ("Request for unknown model: 'x' is not found", StageUnavailableError, "MODEL_NOT_READY"),
        ("unexpected shape for input", InvalidInputError, "INVALID_INPUT"),
        ("INVALID_INPUT/INVALID_TENSOR: too wide", InvalidInputError, "INVALID_TENSOR"),
    ],
)
def test_errors_of_triton_find_their_class(text: str, kind: type[EurekaError], reason: str) -> None:
    error = error_of_text(text, InvalidInputError)
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_model_has_a_probe(spec: object) -> None:
    assert probe_request(spec.name).model_name == spec.name  # type: ignore[attr-defined]


def test_probe_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(NotFoundError):
        probe_request("nobody")


def test_region_holds_inputs_one_behind_the_other_and_leaves_no_file() -> None:
    region = SharedRegion.create(padded_bytes(*AUDIO.values()))
    message = service_pb2.ModelInferRequest()
    end = share_tensors(message, AUDIO_ENCODER, AUDIO, region)
    places = [tensor.parameters["shared_memory_offset"].int64_param for tensor in message.inputs]
    assert (places, end) == ([0, 64], 128)
    np.testing.assert_array_equal(from_raw(region.read(64, 16), "INT64", (2,)), AUDIO["item_lengths"])
    region.close()
    with pytest.raises(FileNotFoundError), open(f"/dev/shm/{region.name}", "rb"):
        pass
