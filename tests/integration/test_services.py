"""Gateway and stages over a real Triton: every call, and the same answers as in this process."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2 as content
from eureka.api.v1 import model_service_pb2
from eureka.clients.status import error_of
from eureka.errors import EurekaError
from eureka.pipeline.conversation import AudioItem, SpokenTurn
from eureka.pipeline.options import ListenOptions
from eureka.runtime.triton import TritonLauncher
from eureka.types import CallContext, Pcm, SamplingParams, TextDelta, TextPart, TextRequest
from tests.helpers.gateway_stack import (
    Caller,
    Stack,
    conversation,
    inline,
    noise,
    running_stack,
    upload,
    user,
    wav,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP, OTHER = noise(2.4, 1), noise(1.1, 2)
LONG = noise(23.0, 3)  # three windows of the tiny checkpoint


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(
    triton: TritonLauncher, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("uploads")
    async with running_stack(triton.config.grpc_address, tiny_checkpoint, folder) as stack:
        yield stack


@pytest.fixture(params=["fused", "two_stage"])
def caller(stack: Stack, request: pytest.FixtureRequest) -> Caller:
    return stack.fused if request.param == "fused" else stack.two_stage


def spoken(pcm: Pcm) -> list[Pcm]:
    return [pcm]


async def generated(caller: Caller, request: api.GenerateRequest) -> list[api.GenerateResponse]:
    return [message async for message in caller.audio.Generate(request)]


# -- equal to this process -------------------------------------------------------------------------


async def test_transcribe_equals_this_process(stack: Stack, caller: Caller) -> None:
    own = stack.listener.transcribe("", spoken(LONG))

    response = await caller.audio.Transcribe(api.TranscribeRequest(audio=inline(LONG)))

    (track,) = response.tracks
    assert (response.model, track.channel, track.text) == ("tiny", 0, own.text)
    assert track.text
    assert [segment.text for segment in track.segments] == [segment.text for segment in own.segments]
    assert len(track.coverage) == len(own.coverage) >= 3
    for row, expected in zip(track.coverage, own.coverage, strict=True):
        assert row.start_offset.ToNanoseconds() == expected.owned.start_sample * 62_500
        assert row.heard_end_offset.ToNanoseconds() == expected.heard.end_sample * 62_500
        assert content.FinishReason.Name(row.finish_reason) == f"FINISH_REASON_{expected.ending}"
    assert response.usage.prompt_token_count == own.usage.prompt_tokens
    assert response.usage.generated_token_count == own.usage.generated_tokens
    assert response.usage.audio_duration.ToNanoseconds() == 23 * 10**9
    stages = {each.stage for each in response.usage.stage_durations}
    assert stages == {"decode", "embed", "generate", "wait", "prefill"}


async def test_caption_with_shorter_windows_equals_this_process(stack: Stack, caller: Caller) -> None:
    own = stack.listener.caption("", spoken(LONG), ListenOptions(max_window_seconds=5.0))

    request = api.CaptionRequest(audio=inline(LONG))
    request.max_window_duration.seconds = 5
    (track,) = (await caller.audio.Caption(request)).tracks

    assert track.text == own.text
    assert len(track.coverage) == len(own.coverage) >= 5


async def test_ask_over_several_recordings_and_turns_equals_this_process(
    stack: Stack, caller: Caller
) -> None:
    turns = [
        SpokenTurn("system", (TextPart("be brief"),)),
        SpokenTurn("user", (AudioItem([CLIP]), TextPart("and"), AudioItem([OTHER]), TextPart("what?"))),
        SpokenTurn("assistant", (TextPart("two noises"),)),
        SpokenTurn("user", (TextPart("which is longer?"),)),
    ]
    own = stack.listener.converse("", turns)

    response = await caller.audio.Ask(
        api.AskRequest(
            conversation=[
                content.Turn(role=content.ROLE_SYSTEM, parts=[content.Part(text="be brief")]),
                user(inline(CLIP), "and", inline(OTHER), "what?"),
                content.Turn(role=content.ROLE_ASSISTANT, parts=[content.Part(text="two noises")]),
                user("which is longer?"),
            ]
        )
    )

    assert response.text == own.text
    assert response.usage.prompt_token_count == own.usage.prompt_tokens
    (row,) = response.coverage
    assert row.end_offset.ToNanoseconds() == len(CLIP) * 62_500 + len(OTHER) * 62_500


async def test_ask_without_audio_has_no_coverage(stack: Stack) -> None:
    own = stack.listener.converse("", [SpokenTurn("user", (TextPart("who are you?"),))])

    response = await stack.fused.audio.Ask(api.AskRequest(conversation=conversation("who are you?")))

    assert (response.text, list(response.coverage)) == (own.text, [])
    assert response.finish_reason in (content.FINISH_REASON_STOP, content.FINISH_REASON_LENGTH)


async def test_classify_equals_this_process(stack: Stack, caller: Caller) -> None:
    labels = ["dog_bark", "rain", "a long label"]
    own = stack.listener.classify("", spoken(CLIP), labels)

    response = await caller.audio.Classify(api.ClassifyRequest(audio=inline(CLIP), labels=labels))
    abstained = await caller.audio.Classify(
        api.ClassifyRequest(audio=inline(CLIP), labels=labels, abstain_below=1.0)
    )

    assert own.scores is not None
    assert [score.label for score in response.scores] == labels
    assert response.label == own.label
    assert [score.probability for score in response.scores] == pytest.approx(
        list(own.scores.values()), abs=1e-4
    )
    assert abstained.label == ""


@pytest.mark.parametrize("parts", [("tell",), (inline(CLIP), "what?"), (inline(CLIP), inline(OTHER), "?")])
async def test_generate_deltas_are_the_answer_of_ask(
    caller: Caller, parts: Sequence[str | content.Audio]
) -> None:
    sampling = content.SamplingParams(temperature=1.0, seed=5, max_new_tokens=60)
    turns = conversation(*parts)
    whole = await caller.audio.Ask(api.AskRequest(conversation=turns, sampling=sampling))

    messages = await generated(caller, api.GenerateRequest(conversation=turns, sampling=sampling))

    assert "".join(message.text for message in messages) == whole.text
    assert [message.HasField("end") for message in messages] == [False] * (len(messages) - 1) + [True]
    end = messages[-1].end
    assert (end.model, end.finish_reason) == ("tiny", whole.finish_reason)
    assert list(end.coverage) == list(whole.coverage)
    assert end.usage.prompt_token_count == whole.usage.prompt_token_count
    assert sum(message.token_count for message in messages) == whole.usage.generated_token_count


async def test_greedy_ids_over_the_stages_equal_this_process(stack: Stack, tiny_checkpoint: Path) -> None:
    own = stack.listener._embedder.embed([CLIP])  # the very rows, so that only the decoder differs
    request = stack.long_request(0, max_new_tokens=80)
    request = TextRequest(request.instruction, own[:0], SamplingParams(80))

    served = [delta async for delta in stack.stages.generate(request, CallContext("ids"))]
    here = list(stack.listener._decoder.generate(request))

    assert ids_of(served) == ids_of(here)
    assert served[-1].phrases == here[-1].phrases


async def test_embeddings_are_equal_on_both_paths(stack: Stack) -> None:
    context = CallContext("embed")
    items = [CLIP, OTHER[:1], LONG]

    fused = await stack.stages.embed(items, context)
    two_stage = await stack.two_stage_stages.embed(items, context)

    assert np.array_equal(fused, two_stage)


# -- options ---------------------------------------------------------------------------------------


async def test_stop_string_ends_the_text_and_the_engine(stack: Stack) -> None:
    turns = conversation("say something long")
    sampling = content.SamplingParams(temperature=1.5, seed=3, max_new_tokens=80)
    whole = await stack.fused.audio.Ask(api.AskRequest(conversation=turns, sampling=sampling))
    assert len(whole.text) > 12
    sampling.stop.append(whole.text[5:9])

    cut = await stack.fused.audio.Ask(api.AskRequest(conversation=turns, sampling=sampling))

    assert cut.text == whole.text[: whole.text.index(whole.text[5:9])].rstrip()
    assert cut.finish_reason == content.FINISH_REASON_STOP
    assert cut.usage.generated_token_count < whole.usage.generated_token_count


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["choices", "regex", "json_schema"])
async def test_constrained_answer_is_what_was_asked_for(
    caller: Caller, kind: str, temperature: float
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "sound": {"enum": ["rain", "dog bark"]},
            "times": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        },
        "required": ["sound", "times"],
        "additionalProperties": False,
    }
    constraint = {
        "choices": content.Constraint(choices=content.Choices(values=["rain", "rainbow", "dog bark"])),
        "regex": content.Constraint(regex="(one|two) of [0-9]{2}"),
        "json_schema": content.Constraint(json_schema=json.dumps(schema)),
    }[kind]
    sampling = content.SamplingParams(
        constraint=constraint, temperature=temperature, max_new_tokens=500, min_p=0.02, frequency_penalty=0.2
    )
    turns = conversation(inline(CLIP), "what?")

    whole = await caller.audio.Ask(api.AskRequest(conversation=turns, sampling=sampling))
    messages = await generated(caller, api.GenerateRequest(conversation=turns, sampling=sampling))

    assert whole.finish_reason == content.FINISH_REASON_STOP
    assert "".join(message.text for message in messages) == whole.text
    if kind == "choices":
        assert whole.text in ("rain", "rainbow", "dog bark")
    elif kind == "regex":
        assert re.fullmatch("(one|two) of [0-9]{2}", whole.text)
    else:
        found = json.loads(whole.text)
        assert set(found) == {"sound", "times"} and found["sound"] in ("rain", "dog bark")
        assert len(found["times"]) <= 2 and all(type(time) is int for time in found["times"])


async def test_constrained_answer_that_is_cut_ends_with_length(stack: Stack) -> None:
    sampling = content.SamplingParams(max_new_tokens=4)
    sampling.constraint.regex = "[a-z]{60}"
    response = await stack.fused.audio.Ask(api.AskRequest(conversation=conversation("?"), sampling=sampling))
    assert response.finish_reason == content.FINISH_REASON_LENGTH
    assert response.usage.generated_token_count == 4


async def refusal(call: Awaitable[object]) -> EurekaError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_of(caught.value)


async def test_constraints_that_cannot_hold_are_refused_by_their_reason(stack: Stack) -> None:
    unreadable = [
        content.Constraint(),
        content.Constraint(choices=content.Choices()),
        content.Constraint(regex="(a|["),
        content.Constraint(json_schema='{"type": "sound"}'),
        content.Constraint(json_schema="x" * 70_000),
    ]
    audio = stack.fused.audio
    for constraint in unreadable:
        sampling = content.SamplingParams(constraint=constraint)
        error = await refusal(audio.Ask(api.AskRequest(conversation=conversation("?"), sampling=sampling)))
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_CONSTRAINT")

    sampling = content.SamplingParams(constraint=content.Constraint(regex="a"))
    error = await refusal(audio.Transcribe(api.TranscribeRequest(audio=inline(CLIP), sampling=sampling)))
    assert error.reason == "INVALID_CONSTRAINT"


async def test_logprobs_name_each_token(stack: Stack) -> None:
    sampling = content.SamplingParams(top_logprobs=3, max_new_tokens=20)
    request = api.AskRequest(conversation=conversation(inline(CLIP), "what?"), sampling=sampling)

    response = await stack.fused.audio.Ask(request)
    messages = await generated(
        stack.fused, api.GenerateRequest(conversation=request.conversation, sampling=sampling)
    )

    assert len(response.logprobs) == response.usage.generated_token_count
    assert all(len(entry.top) == 3 and entry.token.logprob <= 0 for entry in response.logprobs)
    assert "".join(entry.token.text for entry in response.logprobs).strip().startswith(response.text)
    streamed = [entry for message in messages for entry in message.logprobs]
    assert [entry.token for entry in streamed] == [entry.token for entry in response.logprobs]


async def test_channels_are_heard_as_asked(stack: Stack) -> None:
    left, right = noise(2.0, 11), noise(2.0, 12)
    audio = stack.fused.audio

    async def tracks(**channel: object) -> Sequence[api.Track]:
        request = api.TranscribeRequest(audio=inline(left, right, **channel))
        response: api.TranscribeResponse = await audio.Transcribe(request)
        return response.tracks

    each = await tracks(mode=content.CHANNEL_MODE_EACH)
    second = await tracks(mode=content.CHANNEL_MODE_INDEX, index=1)
    mixed = await tracks()

    own = [stack.listener.transcribe("", spoken(pcm)).text for pcm in (left, right, (left + right) / 2)]
    assert [(track.channel, track.text) for track in each] == [(0, own[0]), (1, own[1])]
    assert [(track.channel, track.text) for track in second] == [(1, own[1])]
    assert [track.text for track in mixed] == [own[2]]


async def test_silence_is_told_without_asking_the_model(stack: Stack) -> None:
    silent = np.zeros(32_000, np.float32)

    response = await stack.fused.audio.Transcribe(api.TranscribeRequest(audio=inline(silent)))

    (row,) = response.tracks[0].coverage
    assert row.finish_reason == content.FINISH_REASON_SILENCE
    assert response.usage.generated_token_count == 0


# -- uploads and models ----------------------------------------------------------------------------


async def test_upload_is_heard_like_inline_audio(stack: Stack) -> None:
    data = wav(CLIP)
    kept = await upload(stack.fused, data)
    named = content.Audio(upload=kept.upload)

    by_name = await stack.fused.audio.Transcribe(api.TranscribeRequest(audio=named))
    inside = await stack.fused.audio.Transcribe(api.TranscribeRequest(audio=inline(CLIP)))

    assert kept.size_bytes == len(data)
    assert by_name.tracks == inside.tracks
    asked = await generated(stack.fused, api.GenerateRequest(conversation=conversation(named, "what?")))
    assert asked[-1].HasField("end")


async def test_models_are_listed_with_limits(stack: Stack) -> None:
    response = await stack.fused.models.List(model_service_pb2.ListRequest())

    (model,) = response.models
    assert (model.name, len(model.tasks)) == ("tiny", 4)
    assert model.time_step_duration.ToMilliseconds() == 200
    assert model.best_window_duration.seconds == 10
    assert response.limits.max_window_audio_duration.seconds == 300
    assert response.limits.max_prompt_audio_duration.seconds == 120


async def test_describe_tells_the_hash_of_the_weights(stack: Stack) -> None:
    card = await stack.stages.describe(CallContext("describe"))

    assert card.name == "tiny"
    assert len(card.weights_sha256) == 64


def ids_of(deltas: Sequence[TextDelta]) -> list[int]:
    return [token_id for delta in deltas for token_id in delta.token_ids]
