"""The windows of a round: rounds/{round}/plan.json, written once and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eureka.jobs.documents import Fields, plain_span, to_bytes
from eureka.types import SAMPLE_RATE_HZ, Span

PLAN_VERSION = 1
"""Raised when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class PlannedSpan:
    """One window of a plan.

    Attributes:
        index: its number in the audio, from 0; the same in every round.
        owned: the part of the audio that it answers for.
        heard: what the model is given; may overlap with the neighbours'.
        pcm_sha256: of the heard samples as float32, little-endian; None of silence, which nobody hears.
        first_retry: how many attempts the rounds before have used up; seeds go on from there.
    """

    index: int
    owned: Span
    heard: Span
    pcm_sha256: str | None
    first_retry: int = 0

    @property
    def is_silent(self) -> bool:
        """Whether no model needs to hear it."""
        return self.pcm_sha256 is None


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """The object that was planned: its key, size, etag, and sha256 where the store knows it."""

    key: str
    num_bytes: int
    etag: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The windows of one round; those of round 1 tile the audio.

    Attributes:
        round_number: from 1.
        source: what was decoded.
        num_samples: of the whole audio, at 16 kHz.
        pcm_sha256: of all samples as float32, little-endian.
        max_window_seconds: bound that the windows were cut by.
        silence_dbfs: level that silence was told by.
        damage: what of the file could not be read; empty where all could.
        windows: in order.
    """

    round_number: int
    source: PlannedSource
    num_samples: int
    pcm_sha256: str
    max_window_seconds: float
    silence_dbfs: float
    damage: str
    windows: tuple[PlannedSpan, ...]

    @property
    def audio_seconds(self) -> float:
        """Length of the whole audio."""
        return self.num_samples / SAMPLE_RATE_HZ

    @property
    def sounding(self) -> tuple[PlannedSpan, ...]:
        """The windows that a model has to hear."""
        return tuple(window for window in self.windows if not window.is_silent)

    def window(self, index: int) -> PlannedSpan | None:
        """The window of this index, if the round has it."""
        return next((window for window in self.windows if window.index == index), None)

    def to_bytes(self) -> bytes:
        """The document plan.json."""
        source = self.source
        plain: dict[str, Any] = {
            "version": PLAN_VERSION,
            "round": self.round_number,
            "source": {
                "key": source.key,
                "bytes": source.num_bytes,
                "etag": source.etag,
                "sha256": source.sha256,
            },
            "samples": self.num_samples,
            "pcm_sha256": self.pcm_sha256,
            "max_window_seconds": self.max_window_seconds,
            "silence_dbfs": self.silence_dbfs,
            "damage": self.damage,
            "windows": [_plain_window(window) for window in self.windows],
        }
        return to_bytes(plain)

    @classmethod
    def from_bytes(cls, content: bytes) -> JobPlan:
        """The plan that a document holds.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT.
        """
        given = Fields.of_bytes(content, "plan.json", PLAN_VERSION)
        plan = cls(
            given.integer("round"),
            _source(given.fields("source")),
            given.integer("samples"),
            given.text("pcm_sha256"),
            given.number("max_window_seconds"),
            given.number("silence_dbfs"),
            given.text("damage"),
            tuple(_window(window) for window in given.each("windows")),
        )
        given.end()
        return plan


def _plain_window(window: PlannedSpan) -> dict[str, Any]:
    return {
        "index": window.index,
        "owned": plain_span(window.owned),
        "heard": plain_span(window.heard),
        "pcm_sha256": window.pcm_sha256,
        "first_retry": window.first_retry,
    }


def _window(given: Fields) -> PlannedSpan:
    window = PlannedSpan(
        given.integer("index"),
        given.span("owned"),
        given.span("heard"),
        given.text("pcm_sha256") if given.has("pcm_sha256") else None,
        given.integer("first_retry"),
    )
    given.end()
    return window


def _source(given: Fields) -> PlannedSource:
    source = PlannedSource(
        given.text("key"),
        given.integer("bytes"),
        given.text("etag"),
        given.text("sha256") if given.has("sha256") else None,
    )
    given.end()
    return source
