"""Requests of eureka.api.v1 from value types: pure functions for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2
from eureka.clients.gateway_types import ChatTurn, Question, Recording
from eureka.clients.sampling_wire import fill_sampling
from eureka.engine.request import check_constraint
from eureka.errors import InvalidInputError
from eureka.types import Priority, SamplingParams

NANOSECONDS = 1_000_000_000
"""In a second."""

_ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "user": content_pb2.ROLE_USER,
    "assistant": content_pb2.ROLE_ASSISTANT,
}


def inline_audio(content: bytes, channel: content_pb2.Channel | None = None) -> content_pb2.Audio:
    """Audio that travels inside the request."""
    return content_pb2.Audio(content=content, channel=channel)


def uploaded_audio(name: str, channel: content_pb2.Channel | None = None) -> content_pb2.Audio:
    """Audio that was uploaded before."""
    return content_pb2.Audio(upload=name, channel=channel)


def channel_message(channel: int | None) -> content_pb2.Channel | None:
    """One channel by its number; None, the mean of all, is what the API takes without a word.

    Raises:
        InvalidInputError: reason NO_SUCH_CHANNEL; it is negative.
    """
    if channel is None:
        return None
    if channel < 0:
        raise InvalidInputError(f"channel {channel}: channels count from 0", reason="NO_SUCH_CHANNEL")
    return content_pb2.Channel(mode=content_pb2.CHANNEL_MODE_INDEX, index=channel)


def each_channel() -> content_pb2.Channel:
    """Every channel on its own."""
    return content_pb2.Channel(mode=content_pb2.CHANNEL_MODE_EACH)


def transcribe_request(
    audio: content_pb2.Audio,
    model: str,
    language: str,
    sampling: SamplingParams | None,
    priority: Priority,
    max_window_seconds: float | None,
) -> api.TranscribeRequest:
    """Request of Transcribe."""
    return api.TranscribeRequest(
        model=model,
        audio=audio,
        language=language,
        sampling=sampling_message(sampling),
        priority=_priority(priority),
        max_window_duration=_duration_or_none(max_window_seconds),
    )


def caption_request(
    audio: content_pb2.Audio,
    model: str,
    sampling: SamplingParams | None,
    priority: Priority,
    max_window_seconds: float | None,
) -> api.CaptionRequest:
    """Request of Caption."""
    return api.CaptionRequest(
        model=model,
        audio=audio,
        sampling=sampling_message(sampling),
        priority=_priority(priority),
        max_window_duration=_duration_or_none(max_window_seconds),
    )


def classify_request(
    audio: content_pb2.Audio,
    labels: Sequence[str],
    model: str,
    priority: Priority,
    abstain_below: float | None,
) -> api.ClassifyRequest:
    """Request of Classify."""
    return api.ClassifyRequest(
        model=model,
        audio=audio,
        labels=list(labels),
        abstain_below=abstain_below,
        priority=_priority(priority),
    )


def turns_of(question: Question, recordings: Sequence[Recording]) -> tuple[ChatTurn, ...]:
    """The conversation: of a question, one turn with the recordings in order and then its text.

    Raises:
        InvalidInputError: reason AUDIO_BESIDE_TURNS; a conversation holds its audio in its turns.
    """
    if isinstance(question, str):
        return (ChatTurn("user", (*recordings, question)),)
    if recordings:
        message = "with turns, audio stands in them as Recording(...), not beside them"
        raise InvalidInputError(message, reason="AUDIO_BESIDE_TURNS")
    return tuple(question)


def recordings_in(turns: Iterable[ChatTurn]) -> list[Recording]:
    """All audio of a conversation, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, Recording)]


def conversation(turns: Iterable[ChatTurn], audio: Iterable[content_pb2.Audio]) -> list[content_pb2.Turn]:
    """Messages of the turns; `audio` has one message for each recording, in order.

    Raises:
        InvalidInputError: reason UNKNOWN_ROLE.
    """
    packed = iter(audio)
    return [content_pb2.Turn(role=_role(turn), parts=_parts(turn, packed)) for turn in turns]


def ask_request(
    turns: list[content_pb2.Turn], model: str, sampling: SamplingParams | None, priority: Priority
) -> api.AskRequest:
    """Request of Ask."""
    return api.AskRequest(
        model=model, conversation=turns, sampling=sampling_message(sampling), priority=_priority(priority)
    )


def generate_request(
    turns: list[content_pb2.Turn], model: str, sampling: SamplingParams | None, priority: Priority
) -> api.GenerateRequest:
    """Request of Generate."""
    return api.GenerateRequest(
        model=model, conversation=turns, sampling=sampling_message(sampling), priority=_priority(priority)
    )


def sampling_message(sampling: SamplingParams | None) -> content_pb2.SamplingParams | None:
    """Sampling as the API takes it; None leaves all to its defaults.

    Raises:
        InvalidInputError: reason UNSUPPORTED_SAMPLING; bans are by token ids, which callers do not know.
            INVALID_CONSTRAINT, INVALID_SAMPLING; a value that the API cannot take.
    """
    if sampling is None:
        return None
    if sampling.ban_token_ids:
        raise InvalidInputError("the API has no ban_token_ids", reason="UNSUPPORTED_SAMPLING")
    if sampling.constraint is not None:
        check_constraint(sampling.constraint)  # a message would leave out a second kind
    message = content_pb2.SamplingParams()
    try:
        fill_sampling(message, sampling)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"sampling: {error}", reason="INVALID_SAMPLING") from error
    return message


def duration_of(seconds: float) -> Duration:
    """Seconds as a message."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * NANOSECONDS))
    return duration


def _duration_or_none(seconds: float | None) -> Duration | None:
    return None if seconds is None else duration_of(seconds)


def _role(turn: ChatTurn) -> Any:
    try:
        return _ROLES[turn.role]
    except KeyError:
        message = f"role {turn.role!r}: it is one of {', '.join(_ROLES)}"
        raise InvalidInputError(message, reason="UNKNOWN_ROLE") from None


def _parts(turn: ChatTurn, packed: Iterator[content_pb2.Audio]) -> list[content_pb2.Part]:
    return [
        content_pb2.Part(text=part) if isinstance(part, str) else content_pb2.Part(audio=next(packed))
        for part in turn.parts
    ]


def _priority(priority: Priority) -> str:
    return f"PRIORITY_{priority.name}"
