"""Messages of eureka.api.v1 to value types; every documented limit is checked here, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import content_pb2
from eureka.clients import sampling_wire
from eureka.engine.request import check_sampling
from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError
from eureka.types import AudioPart, Instruction, Priority, SamplingParams, Task, TextPart, Turn

MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS = 1.0, 30.0
"""Bounds of max_window_duration."""

MAX_LABELS = 256
"""Labels of one closed set."""

_ROLES = {
    int(content_pb2.ROLE_SYSTEM): "system",
    int(content_pb2.ROLE_USER): "user",
    int(content_pb2.ROLE_ASSISTANT): "assistant",
}


class Uploads(Protocol):
    """Where uploads are."""

    def find(self, tenant: str, name: str) -> Path:
        """File of an upload of the tenant; NotFoundError (UPLOAD_NOT_FOUND)."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Audio of a request that is not decoded yet.

    Attributes:
        source: the file's bytes, or where the upload is.
        channel: channel from 0; None is the mean of all.
        is_each: every channel on its own.
    """

    source: bytes | Path
    channel: int | None = None
    is_each: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AskedTurn:
    """One turn: role is system, user or assistant."""

    role: str
    parts: tuple[TextPart | Recording, ...]


class AudioReader:
    """Finds the audio that messages name.

    Args:
        uploads: kept files.
        max_inline_bytes: of Audio.content.
    """

    def __init__(self, uploads: Uploads, max_inline_bytes: int) -> None:
        self._uploads = uploads
        self._max_inline_bytes = max_inline_bytes

    def recording(self, audio: content_pb2.Audio, tenant: str, *, may_be_each: bool = False) -> Recording:
        """Where the audio is and what is heard of it.

        Args:
            audio: of the request.
            tenant: whose uploads may be named.
            may_be_each: whether every channel may be asked for.

        Raises:
            InvalidInputError: NO_AUDIO_SOURCE, CHANNEL_MODE_NOT_SERVED, and as `AudioTooLongError`
                TOO_MANY_BYTES, as `InvalidAudioError` EMPTY_AUDIO.
            NotFoundError: UPLOAD_NOT_FOUND.
        """
        mode = audio.channel.mode
        is_each = mode == content_pb2.CHANNEL_MODE_EACH
        channel = audio.channel.index if mode == content_pb2.CHANNEL_MODE_INDEX else None
        if (is_each and not may_be_each) or mode not in content_pb2.ChannelMode.values():
            message = "this channel mode is not served here; mix or index is"
            raise InvalidInputError(message, reason="CHANNEL_MODE_NOT_SERVED")
        return Recording(self._source(audio, tenant), channel, is_each)

    def turns(self, turns: Sequence[content_pb2.Turn], tenant: str) -> tuple[AskedTurn, ...]:
        """The conversation; its last turn is the user's, a system turn is the first.

        Raises:
            InvalidInputError: EMPTY_CONVERSATION, UNKNOWN_ROLE, EMPTY_PART, MISPLACED_SYSTEM_TURN,
                LAST_TURN_NOT_USER; and as `recording`.
        """
        asked = tuple(self._turn(turn, tenant) for turn in turns)
        if not asked:
            raise InvalidInputError("a conversation needs at least one turn", reason="EMPTY_CONVERSATION")
        if any(turn.role == "system" for turn in asked[1:]):
            message = "a system turn stands before all others"
            raise InvalidInputError(message, reason="MISPLACED_SYSTEM_TURN")
        if asked[-1].role != "user":
            message = f"the last turn is of role {asked[-1].role}; it must be the user's"
            raise InvalidInputError(message, reason="LAST_TURN_NOT_USER")
        return asked

    def _source(self, audio: content_pb2.Audio, tenant: str) -> bytes | Path:
        kind = audio.WhichOneof("source")
        if kind is None:
            message = "the audio has no source; set content or upload"
            raise InvalidInputError(message, reason="NO_AUDIO_SOURCE")
        if kind == "upload":
            return self._uploads.find(tenant, audio.upload)
        if not audio.content:
            raise InvalidAudioError("the file is empty (0 bytes)", reason="EMPTY_AUDIO")
        if len(audio.content) > self._max_inline_bytes:
            raise AudioTooLongError(
                f"content has {len(audio.content):,} bytes; the limit is {self._max_inline_bytes:,}, larger "
                "files go by AudioService.Upload",
                reason="TOO_MANY_BYTES",
            )
        return audio.content

    def _turn(self, turn: content_pb2.Turn, tenant: str) -> AskedTurn:
        role = _ROLES.get(turn.role)
        if role is None:
            message = f"role {turn.role} is none of {', '.join(_ROLES.values())}"
            raise InvalidInputError(message, reason="UNKNOWN_ROLE")
        return AskedTurn(role, tuple(self._part(part, tenant) for part in turn.parts))

    def _part(self, part: content_pb2.Part, tenant: str) -> TextPart | Recording:
        kind = part.WhichOneof("content")
        if kind is None:
            raise InvalidInputError("a part holds neither text nor audio", reason="EMPTY_PART")
        return TextPart(part.text) if kind == "text" else self.recording(part.audio, tenant)


def recordings_in(turns: Iterable[AskedTurn]) -> list[Recording]:
    """All audio of a conversation, in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, Recording)]


def instruction_of(turns: Iterable[AskedTurn], num_tokens: Iterable[int]) -> Instruction:
    """The conversation as an instruction; `num_tokens` has the audio tokens of each recording, in order."""
    counts = iter(num_tokens)
    laid_out = tuple(
        Turn(
            turn.role,
            tuple(part if isinstance(part, TextPart) else AudioPart(next(counts)) for part in turn.parts),
        )
        for turn in turns
    )
    return Instruction(Task.ASK, turns=laid_out)


def sampling_of(message: content_pb2.SamplingParams) -> SamplingParams:
    """How tokens are chosen.

    Raises:
        InvalidInputError: a value outside its range.
    """
    sampling = sampling_wire.sampling_of(message)
    check_sampling(sampling)
    return sampling


def refuse_constraint(sampling: SamplingParams) -> None:
    """Refuse a constraint where the answers are of windows, not of the caller's whole question.

    Raises:
        InvalidInputError: reason INVALID_CONSTRAINT.
    """
    if sampling.constraint is not None:
        message = "constraint: it holds for Ask and Generate; Transcribe and Caption take none"
        raise InvalidInputError(message, reason="INVALID_CONSTRAINT")


def priority_of(number: int) -> Priority:
    """The priority; interactive unless told.

    Raises:
        InvalidInputError: reason UNKNOWN_PRIORITY.
    """
    if number == content_pb2.PRIORITY_UNSPECIFIED:
        return Priority.INTERACTIVE
    if number not in content_pb2.Priority.values():  # the engine knows one more, for probes
        known = ", ".join(name.removeprefix("PRIORITY_").lower() for name in content_pb2.Priority.keys()[1:])
        raise InvalidInputError(f"priority {number} is none of {known}", reason="UNKNOWN_PRIORITY")
    return Priority(number)


def window_seconds_of(duration: Duration) -> float | None:
    """Upper bound on windows; None where none is asked for.

    Raises:
        InvalidInputError: reason WINDOW_OUT_OF_RANGE.
    """
    seconds = duration.seconds + duration.nanos / 1e9
    if not seconds:
        return None
    if not MIN_WINDOW_SECONDS <= seconds <= MAX_WINDOW_SECONDS:
        message = (
            f"max_window_duration is {seconds:g} s; it must lie in [{MIN_WINDOW_SECONDS:g}, "
            f"{MAX_WINDOW_SECONDS:g}] s"
        )
        raise InvalidInputError(message, reason="WINDOW_OUT_OF_RANGE")
    return seconds


def check_labels(labels: Sequence[str]) -> None:
    """Refuse a closed set that is too large; the listener checks the rest.

    Raises:
        InvalidInputError: reason TOO_MANY_LABELS.
    """
    if len(labels) > MAX_LABELS:
        message = f"{len(labels)} labels in one closed set, at most {MAX_LABELS}"
        raise InvalidInputError(message, reason="TOO_MANY_LABELS")
