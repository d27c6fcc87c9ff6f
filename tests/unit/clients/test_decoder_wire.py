"""Messages of the DecoderService there and back."""

from __future__ import annotations

import numpy as np
import pytest

from eureka.clients import decoder_wire as dw
from eureka.clients.tensors import to_tensor
from eureka.engine.request import LabelScores
from eureka.errors import InvalidInputError
from eureka.stage.v1 import decoder_service_pb2 as wire
from eureka.stage.v1 import tensor_pb2
from eureka.types import (
    AudioPart,
    Ending,
    Instruction,
    Logprobs,
    ModelCard,
    Phrase,
    Priority,
    SamplingParams,
    Task,
    TextDelta,
    TextPart,
    TextRequest,
    TokenLogprob,
    Turn,
    Usage,
)

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
CONVERSATION = Instruction(
    Task.ASK,
    turns=(
        Turn("system", (TextPart("be brief"),)),
        Turn("user", (AudioPart(3), TextPart("what?"))),
        Turn("assistant", (TextPart("rain"),)),
        Turn("user", (TextPart("sure?"),)),
    ),
)
SAMPLING = SamplingParams(7, 0.4, 20, 0.9, 1.05, 2**32, (3, 4), ("x", "y z"), 5)


@pytest.mark.parametrize(
    "instruction",
    [
        Instruction(Task.TRANSCRIBE),
        Instruction(Task.TRANSCRIBE, "en"),
        Instruction(Task.CAPTION),
        Instruction(Task.CLASSIFY),
        CONVERSATION,
    ],
)
@pytest.mark.parametrize("priority", list(Priority))
def test_request_comes_back_the_same(instruction: Instruction, priority: Priority) -> None:
    request = TextRequest(instruction, ROWS, SAMPLING, 12.5, priority)

    back = dw.generate_request_of(_sent(dw.generate_message(request)), 12.5)

    assert (back.instruction, back.sampling, back.deadline, back.priority) == (
        instruction,
        SAMPLING,
        12.5,
        priority,
    )
    np.testing.assert_array_equal(back.audio_embeddings, ROWS)


def test_request_without_audio_has_no_tensor() -> None:
    message = dw.generate_message(TextRequest(CONVERSATION, np.zeros((0, 0), np.float32)))

    assert not message.HasField("audio_embeddings")
    assert dw.generate_request_of(message, None).audio_embeddings.shape == (0, 0)


def test_unset_sampling_takes_the_defaults() -> None:
    instruction = wire.Instruction(caption=wire.CaptionInstruction())

    assert dw.generate_request_of(wire.GenerateRequest(instruction=instruction), None).sampling == (
        SamplingParams()
    )


@pytest.mark.parametrize(
    "delta",
    [
        TextDelta(),
        TextDelta("a", (1, 2), (Logprobs(TokenLogprob("a", -0.5), (TokenLogprob("b", -1.0),)),)),
        TextDelta(
            "b",
            (3,),
            ending=Ending.LENGTH,
            phrases=(Phrase("b"), Phrase("c", 0.4, 1.2), Phrase("d", 0.0)),
            usage=Usage(5, 2, {"wait": 0.125, "prefill": 0.1, "decode": 1.7}),
        ),
    ],
)
def test_delta_comes_back_the_same(delta: TextDelta) -> None:
    message = wire.GenerateResponse.FromString(dw.delta_message(delta).SerializeToString())

    assert dw.delta_of(message) == delta


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.SILENCE])
def test_every_ending_comes_back(ending: Ending) -> None:
    assert dw.delta_of(dw.delta_message(TextDelta(ending=ending))).ending is ending


def test_scores_and_card_come_back_the_same() -> None:
    scores = LabelScores(("a", "b"), (-1.25, -2.5), Usage(9))
    card = ModelCard("m", {"en": "English"}, 4096, 10.0, 0.2, 1.05, "ab" * 32, "fast")

    assert dw.scores_of(dw.scores_message(scores), ["a", "b"]) == scores
    assert dw.card_of(dw.card_message(card)) == card
    assert dw.card_of(dw.card_message(ModelCard("m", {}, 1, 1.0, None, 1.0))).time_step_seconds is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (wire.GenerateRequest(), "NO_INSTRUCTION"),
        (wire.GenerateRequest(instruction={"conversation": {"turns": [{"role": 9}]}}), "UNKNOWN_ROLE"),
        (
            wire.GenerateRequest(
                instruction={"conversation": {"turns": [{"role": wire.ROLE_USER, "parts": [{}]}]}}
            ),
            "EMPTY_PART",
        ),
        (
            wire.GenerateRequest(instruction={"caption": {}}, audio_embeddings=to_tensor(ROWS[0])),
            "INVALID_TENSOR",
        ),
        (
            wire.GenerateRequest(
                instruction={"caption": {}},
                # No bytes, and four thousand million rows of nothing.
                audio_embeddings=tensor_pb2.Tensor(
                    shape=[2**32 - 1, 0], data_type=tensor_pb2.DATA_TYPE_FLOAT32
                ),
            ),
            "INVALID_TENSOR",
        ),
    ],
)
def test_message_that_says_nothing_is_refused(message: wire.GenerateRequest, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        dw.generate_request_of(message, None)
    assert caught.value.reason == reason


def _sent(message: wire.GenerateRequest) -> wire.GenerateRequest:
    return wire.GenerateRequest.FromString(message.SerializeToString())
