"""What became of a window: rounds/{round}/windows/{index}.json, whose first writer wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eureka.errors import EurekaError, PermissionDeniedError, UnauthenticatedError
from eureka.jobs.documents import Fields, invalid_document, plain_span, to_bytes
from eureka.jobs.plan import PlannedSpan
from eureka.pipeline.pieces import Piece
from eureka.types import Ending, Segment, SegmentSource, Task, Usage

OUTCOME_VERSION = 1
"""Raised when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which weights answered, and how their arithmetic was done.

    Attributes:
        name: of the checkpoint.
        weights_sha256: of its weights file, hex.
        numerics: name of the numeric mode.
    """

    name: str
    weights_sha256: str
    numerics: str

    def to_plain(self) -> dict[str, str]:
        """Plain object for documents."""
        return {"name": self.name, "weights_sha256": self.weights_sha256, "numerics": self.numerics}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as documents keep it."""

    code: str
    reason: str
    message: str

    @classmethod
    def of(cls, error: EurekaError) -> Failure:
        """The failure that `error` was."""
        return cls(error.code, error.reason, error.message)

    def to_plain(self) -> dict[str, str]:
        """Plain object for documents."""
        return {"code": self.code, "reason": self.reason, "message": self.message}


@dataclass(frozen=True, slots=True)
class Track:
    """What one task gave for a window.

    Attributes:
        pieces: in order of time; their owned spans tile the window's.
        num_attempts: requests that were sent for it.
        failure: why there is no answer; None where there is one.
    """

    pieces: tuple[Piece, ...]
    num_attempts: int = 0
    failure: Failure | None = None

    @property
    def is_good(self) -> bool:
        """Whether all of it was answered as it should be."""
        return all(piece.ending in (Ending.STOP, Ending.SILENCE) for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """The window's tracks, what they cost, and who answered.

    Attributes:
        round_number: the round that it was heard in.
        index: of the window.
        tracks: of each task.
        model: who answered.
        usage: of all tracks together.
    """

    round_number: int
    index: int
    tracks: Mapping[Task, Track]
    model: ModelVersion
    usage: Usage = field(default_factory=Usage)

    @property
    def is_good(self) -> bool:
        """Whether no later round needs to hear it again."""
        return all(track.is_good for track in self.tracks.values())

    @property
    def endings(self) -> tuple[Ending, ...]:
        """How its pieces ended, all tracks together."""
        return tuple(piece.ending for track in self.tracks.values() for piece in track.pieces)

    def to_bytes(self) -> bytes:
        """The document."""
        usage = self.usage
        plain: dict[str, Any] = {
            "version": OUTCOME_VERSION,
            "round": self.round_number,
            "index": self.index,
            "model": self.model.to_plain(),
            "tracks": {task.value: _plain_track(track) for task, track in self.tracks.items()},
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "generated_tokens": usage.generated_tokens,
                "seconds": {stage: round(seconds, 4) for stage, seconds in usage.seconds.items()},
            },
        }
        return to_bytes(plain)

    @classmethod
    def from_bytes(cls, content: bytes) -> WindowOutcome:
        """The outcome that a document holds.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT.
        """
        given = Fields.of_bytes(content, "window", OUTCOME_VERSION)
        number, index = given.integer("round"), given.integer("index")
        model, tracks = _model(given.fields("model")), given.fields("tracks")
        outcome = cls(
            number,
            index,
            {_enum(Task, name): _track(index, tracks.fields(name)) for name in tracks.names()},
            model,
            _usage(given.fields("usage")),
        )
        given.end()
        return outcome


def is_outcome(error: EurekaError) -> bool:
    """Whether an error belongs into documents: not where something is away, or this process lacks rights."""
    is_access = isinstance(error, UnauthenticatedError | PermissionDeniedError)
    return not (error.is_retryable or is_access or error.reason == "STORE_DENIED")


def ended(window: PlannedSpan, ending: Ending, failure: Failure | None = None) -> Track:
    """The track of a window that no model answered for."""
    return Track((Piece(window.index, window.owned, window.heard, ending),), failure=failure)


def _plain_track(track: Track) -> dict[str, Any]:
    return {
        "pieces": [_plain_piece(piece) for piece in track.pieces],
        "attempts": track.num_attempts,
        "failure": track.failure.to_plain() if track.failure else None,
    }


def _plain_piece(piece: Piece) -> dict[str, Any]:
    return {
        "owned": plain_span(piece.owned),
        "heard": plain_span(piece.heard),
        "ending": piece.ending.value,
        "text": piece.text,
        "segments": [_plain_segment(segment) for segment in piece.segments],
    }


def _plain_segment(segment: Segment) -> dict[str, Any]:
    return {
        "start_seconds": segment.start_seconds,
        "end_seconds": segment.end_seconds,
        "text": segment.text,
        "source": segment.source.value,
    }


def _track(index: int, given: Fields) -> Track:
    track = Track(
        tuple(_piece(index, piece) for piece in given.each("pieces")),
        given.integer("attempts"),
        _failure(given.fields("failure")) if given.has("failure") else None,
    )
    given.end()
    return track


def _piece(index: int, given: Fields) -> Piece:
    piece = Piece(
        index,
        given.span("owned"),
        given.span("heard"),
        _enum(Ending, given.text("ending")),
        given.text("text"),
        tuple(_segment(segment) for segment in given.each("segments")),
    )
    given.end()
    return piece


def _segment(given: Fields) -> Segment:
    segment = Segment(
        given.number("start_seconds"),
        given.number("end_seconds"),
        given.text("text"),
        _enum(SegmentSource, given.text("source")),
    )
    given.end()
    return segment


def _failure(given: Fields) -> Failure:
    failure = Failure(given.text("code"), given.text("reason"), given.text("message"))
    given.end()
    return failure


def _model(given: Fields) -> ModelVersion:
    model = ModelVersion(given.text("name"), given.text("weights_sha256"), given.text("numerics"))
    given.end()
    return model


def _usage(given: Fields) -> Usage:
    seconds = given.fields("seconds")
    usage = Usage(
        given.integer("prompt_tokens"),
        given.integer("generated_tokens"),
        {stage: seconds.number(stage) for stage in seconds.names()},
    )
    given.end()
    return usage


def _enum(kind: type[Any], word: str) -> Any:
    try:
        return kind(word)
    except ValueError as error:
        raise invalid_document("window", f"{word[:40]!r} is no {kind.__name__.lower()}") from error
