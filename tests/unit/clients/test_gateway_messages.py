"""Messages and value types of the gateway's client, without a server."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2, model_service_pb2
from eureka.clients import gateway_calls as calls
from eureka.clients import gateway_messages as messages
from eureka.clients import gateway_results as results
from eureka.clients.gateway_types import ChatTurn, Limits, Recording, RetryPolicy, Upload
from eureka.clients.status import details_metadata, status_of
from eureka.errors import (
    CancelledError,
    EurekaError,
    InvalidInputError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import Constraint, Ending, Priority, SamplingParams, SegmentSource, Span, Task

LIMITS = Limits(120, 300, 100, 1_000, 3_600, calls.MESSAGE_RESERVE_BYTES + 150)


class Failure(grpc.RpcError):
    """What a failed call raises, with its code, words and trailing metadata."""

    def __init__(self, code: grpc.StatusCode, error: EurekaError | None = None) -> None:
        self._code, self._error = code, error

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "words of gRPC"

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return () if self._error is None else (details_metadata(status_of(self._error)),)


def offset(sample: int) -> Duration:
    return messages.duration_of(sample / 16_000)


def row(start: int, end: int, ending: int = content_pb2.FINISH_REASON_STOP) -> content_pb2.CoverageRow:
    places = {"start_offset": offset(start), "end_offset": offset(end)}
    heard = {f"heard_{name}": value for name, value in places.items()}
    return content_pb2.CoverageRow(window=1, finish_reason=ending, **places, **heard)  # type: ignore[arg-type]


def test_sampling_travels_whole_and_unset_stays_unset() -> None:
    sent = messages.sampling_message(SamplingParams(max_new_tokens=7, stop=("a", "b"), top_logprobs=2))
    assert sent is not None
    assert (sent.max_new_tokens, list(sent.stop), sent.top_logprobs) == (7, ["a", "b"], 2)
    assert sent.HasField("temperature") and not sent.HasField("repetition_penalty")
    assert messages.sampling_message(None) is None


@pytest.mark.parametrize(
    ("sampling", "reason"),
    [
        (SamplingParams(ban_token_ids=(1,)), "UNSUPPORTED_SAMPLING"),
        (SamplingParams(max_new_tokens=-1), "INVALID_SAMPLING"),
        (SamplingParams(seed=-1), "INVALID_SAMPLING"),
        (SamplingParams(constraint=Constraint()), "INVALID_CONSTRAINT"),
        (SamplingParams(constraint=Constraint(regex="a", json_schema="{}")), "INVALID_CONSTRAINT"),
    ],
    ids=str,
)
def test_sampling_that_cannot_travel_is_refused(sampling: SamplingParams, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        messages.sampling_message(sampling)
    assert caught.value.reason == reason


def test_question_is_one_turn_with_the_audio_first() -> None:
    turns = messages.turns_of("what?", [Recording("a.wav"), Recording(b"x", channel=1)])
    packed = [messages.inline_audio(b"1"), messages.uploaded_audio("uploads/2")]
    [turn] = messages.conversation(turns, packed)
    assert turn.role == content_pb2.ROLE_USER
    assert [part.WhichOneof("content") for part in turn.parts] == ["audio", "audio", "text"]
    assert [part.audio.WhichOneof("source") for part in turn.parts[:2]] == ["content", "upload"]


def test_turns_keep_roles_and_places() -> None:
    turns = (
        ChatTurn("system", ("be brief",)),
        ChatTurn("user", ("first", Recording("a.wav"), "then")),
        ChatTurn("assistant", ("yes",)),
    )
    sent = messages.conversation(messages.turns_of(turns, []), [messages.inline_audio(b"1")])
    assert [turn.role for turn in sent] == [1, 2, 3]
    assert [part.WhichOneof("content") for part in sent[1].parts] == ["text", "audio", "text"]


def test_conversation_that_cannot_be_told_is_refused() -> None:
    turn = ChatTurn("user", ("hello",))
    with pytest.raises(InvalidInputError, match="Recording"):
        messages.turns_of([turn], [Recording("a.wav")])
    with pytest.raises(InvalidInputError, match="'poet'"):
        messages.conversation([ChatTurn("poet", ("oh",))], [])  # type: ignore[arg-type]


def test_requests_carry_priority_window_and_threshold() -> None:
    audio = messages.inline_audio(b"1", messages.channel_message(1))
    heard = messages.transcribe_request(audio, "m", "en", None, Priority.BULK, 8.0)
    assert (heard.model, heard.language, heard.priority) == ("m", "en", content_pb2.PRIORITY_BULK)
    assert heard.max_window_duration.seconds == 8 and not heard.HasField("sampling")
    assert heard.audio.channel.mode == content_pb2.CHANNEL_MODE_INDEX and heard.audio.channel.index == 1
    caption = messages.caption_request(audio, "", None, Priority.INTERACTIVE, None)
    assert not caption.HasField("max_window_duration")
    classify = messages.classify_request(audio, ("a", "b"), "", Priority.DEFAULT, 0.0)
    assert classify.HasField("abstain_below") and list(classify.labels) == ["a", "b"]
    unset = messages.classify_request(audio, ("a",), "", Priority.DEFAULT, None)
    assert not unset.HasField("abstain_below")
    with pytest.raises(InvalidInputError, match="count from 0"):
        messages.channel_message(-1)


def test_ledger_is_exact_to_the_sample() -> None:
    ends = [0, 1, 15_999, 16_001, 4_799_999, 1_000_000_007]
    rows = results.coverage_of(row(start, end) for start, end in itertools.pairwise(ends))
    assert [each.owned for each in rows] == [Span(a, b) for a, b in itertools.pairwise(ends)]
    assert rows[0].heard == rows[0].owned and rows[0].ending is Ending.STOP and rows[0].window == 1


def test_ending_that_is_not_known_counts_as_error() -> None:
    assert results.ending_of(content_pb2.FINISH_REASON_SILENCE) is Ending.SILENCE
    assert results.ending_of(0) is Ending.ERROR
    assert results.ending_of(99) is Ending.ERROR


def test_tracks_become_results_with_the_usage_of_the_call() -> None:
    segment = content_pb2.Segment(
        start_offset=offset(0), end_offset=offset(8_000), text="hi", source=content_pb2.SEGMENT_SOURCE_MODEL
    )
    track = api.Track(text="hi", segments=[segment], coverage=[row(0, 24_000)])
    stages = [content_pb2.StageDuration(stage="embed", duration=messages.duration_of(0.25))]
    usage = content_pb2.Usage(prompt_token_count=9, generated_token_count=2, stage_durations=stages)
    response = api.TranscribeResponse(model="m", tracks=[track, track], usage=usage)
    first, second = results.track_results(response, Task.TRANSCRIBE, "a.wav")
    assert first == second and first.path == "a.wav" and first.audio_seconds == 1.5
    assert first.segments[0].source is SegmentSource.MODEL and first.segments[0].end_seconds == 0.5
    assert first.usage.prompt_tokens == 9 and first.usage.seconds == {"embed": 0.25}
    with pytest.raises(EurekaError, match="without a track"):
        results.track_results(api.TranscribeResponse(model="m"), Task.TRANSCRIBE, "a.wav")


def test_answer_about_audio_is_one_segment_and_of_text_none() -> None:
    heard = api.AskResponse(text="a dog", finish_reason=content_pb2.FINISH_REASON_LENGTH)
    heard.coverage.append(row(0, 16_000))
    answer = results.answer_of(heard, "a.wav")
    assert answer.ending is Ending.LENGTH and answer.segments[0].text == "a dog"
    assert (answer.segments[0].start_seconds, answer.segments[0].end_seconds) == (0, 1)
    told = results.answer_of(api.AskResponse(text="hello", finish_reason=1), "")
    assert told.segments == () and told.coverage == () and told.audio_seconds == 0


def test_classification_without_a_label_abstains() -> None:
    scores = [api.LabelScore(label="a", probability=0.75, log_probability=-2.0)]
    found = results.classification_of(api.ClassifyResponse(scores=scores, coverage=[row(0, 16_000)]), "")
    assert found.label is None and found.segments == ()
    assert found.scores == {"a": 0.75} and found.log_probabilities == {"a": -2.0}


def test_delta_has_an_end_only_where_the_message_has() -> None:
    entry = content_pb2.Logprobs(
        token=content_pb2.TokenLogprob(text="a", logprob=-0.5),
        top=[content_pb2.TokenLogprob(text="b", logprob=-0.25)],
    )
    delta = results.delta_of(api.GenerateResponse(text="a", token_count=1, logprobs=[entry]))
    assert delta.end is None and delta.logprobs[0].top[0].logprob == -0.25
    last = results.delta_of(api.GenerateResponse(end=api.GenerateEnd(model="m", finish_reason=1)))
    assert last.end is not None and last.end.ending is Ending.STOP and last.end.model == "m"


def test_models_tell_limits_and_times() -> None:
    model = model_service_pb2.Model(name="m", tasks=[1, 4, 99], repetition_penalty=1.0)
    served = results.served_models(model_service_pb2.ListResponse(models=[model]))
    assert served.default.tasks == (Task.TRANSCRIBE, Task.CLASSIFY)
    assert served.default.time_step_seconds is None
    with pytest.raises(EurekaError, match="serves no model"):
        results.served_models(model_service_pb2.ListResponse())


def test_room_counts_all_audio_of_one_request() -> None:
    room = calls.InlineRoom(LIMITS)
    assert not room.take(101)
    assert [room.take(100), room.take(60), room.take(50)] == [True, False, True]


def test_upload_messages_begin_with_the_configuration(tmp_path: Path) -> None:
    size = calls.UPLOAD_CHUNK_BYTES + 3
    first, *rest = calls.UploadReader(io.BytesIO(bytes(size)), "a.wav").messages()
    assert first.config.display_name == "a.wav"
    assert [len(each.data) for each in rest] == [calls.UPLOAD_CHUNK_BYTES, 3]
    with pytest.raises(InvalidInputError) as caught:
        calls.check_size(1_001, LIMITS)
    assert caught.value.reason == "UPLOAD_TOO_LARGE"


def test_attempts_of_an_upload_do_not_disturb_each_other() -> None:
    content = bytes(range(256)) * (3 * calls.UPLOAD_CHUNK_BYTES // 256)
    file = io.BytesIO(content)
    reader = calls.UploadReader(file, "a.wav")
    failed, again = reader.messages(), reader.messages()
    for _ in range(2):
        next(failed)
    sent = [next(again)]
    for message in again:
        sent.append(message)
        next(failed, None)  # gRPC still reads for the attempt that failed
    assert b"".join(message.data for message in sent) == content
    late = reader.messages()
    next(late)
    file.close()
    assert list(late) == []


def test_names_of_audio(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.wav"
    assert calls.name_of(path) == str(path) and calls.name_of(b"RIFF") == ""
    assert calls.name_of(Upload("uploads/1")) == "uploads/1"
    assert calls.display_name(path) == "caf?.wav" and len(calls.display_name("a" * 300)) == 255
    with path.open("wb") as writer:
        assert calls.name_of(writer) == str(path)


def attempts(retry: RetryPolicy, timeout_seconds: float | None = 60.0) -> calls.Attempts:
    return calls.ClientConfig("localhost:1", timeout_seconds=timeout_seconds, retry=retry).attempts(None, "")


def test_pause_grows_up_to_its_bound_and_the_last_failure_is_raised() -> None:
    policy = RetryPolicy(4, first_pause_seconds=1, multiplier=3, max_pause_seconds=5, jitter=0)
    tried = attempts(policy)
    failure = Failure(grpc.StatusCode.UNAVAILABLE)
    assert [tried.pause_after(failure) for _ in range(3)] == [1, 3, 5]
    with pytest.raises(StageUnavailableError) as caught:
        tried.pause_after(failure)
    assert caught.value.__cause__ is failure
    assert caught.value.__notes__ == [f"request id {tried.request_id}"]


def test_pause_is_at_least_what_the_server_asks_and_jitter_only_adds() -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, QueueFullError("full"))
    tried = attempts(RetryPolicy(50, first_pause_seconds=0.001, max_pause_seconds=0.001, jitter=0.5))
    pauses = [tried.pause_after(full) for _ in range(40)]
    assert all(1 <= pause <= 1.5 for pause in pauses) and len(set(pauses)) > 1


@pytest.mark.parametrize(
    ("failure", "timeout_seconds", "kind"),
    [
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, InvalidInputError("no")), 60.0, InvalidInputError),
        (Failure(grpc.StatusCode.DEADLINE_EXCEEDED), 60.0, CancelledError),
        (Failure(grpc.StatusCode.INTERNAL), 60.0, EurekaError),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, QueueFullError("full")), 0.5, QueueFullError),
    ],
    ids=["invalid", "late", "internal", "no time left"],
)
def test_failure_that_no_pause_helps_is_raised_at_once(
    failure: Failure, timeout_seconds: float, kind: type[EurekaError]
) -> None:
    with pytest.raises(kind):
        attempts(RetryPolicy(), timeout_seconds).pause_after(failure)


def test_arguments_carry_key_id_and_one_trace() -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    config = calls.ClientConfig("localhost:1", key="secret", traceparent=lambda: trace)
    tried = config.attempts(None, "mine")
    first, second = (dict(tried.arguments["metadata"]) for _ in range(2))
    assert first["x-request-id"] == second["x-request-id"] == "mine"
    assert first["authorization"] == "Bearer secret"
    assert first["traceparent"] == second["traceparent"] == trace
    assert "secret" not in repr(config) + repr(tried)
    assert attempts(RetryPolicy(), None).arguments["timeout"] is None
