"""Value types that cross module borders: tasks, endings, spans, conversations and results.

Positions in audio are samples at 16 kHz; times are seconds from the start of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
"""Rate of all pcm inside the platform."""

SAMPLES_PER_AUDIO_TOKEN = 1_280
"""8 mel frames of 160 samples, or 4 encoder frames: 80 ms."""

Pcm = NDArray[np.float32]
"""Decoded mono samples (S,), float32 in [-1, 1], 16 kHz."""


class Task(StrEnum):
    """What is asked of the model about a piece of audio."""

    TRANSCRIBE = "transcribe"
    CAPTION = "caption"
    ASK = "ask"
    CLASSIFY = "classify"


class Ending(StrEnum):
    """How a request or a span ended; SILENCE stands in the coverage ledger only."""

    STOP = "STOP"
    LENGTH = "LENGTH"
    REPETITION = "REPETITION"
    CANCELLED = "CANCELLED"
    DEADLINE = "DEADLINE"
    ERROR = "ERROR"
    SILENCE = "SILENCE"


class SegmentSource(StrEnum):
    """Where the times of a segment come from."""

    MODEL = "model"
    CTC = "ctc"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open part [start_sample, end_sample) of an audio file."""

    start_sample: int
    end_sample: int

    @property
    def num_samples(self) -> int:
        """Length in samples."""
        return self.end_sample - self.start_sample

    @property
    def start_seconds(self) -> float:
        """Start in seconds."""
        return self.start_sample / SAMPLE_RATE_HZ

    @property
    def end_seconds(self) -> float:
        """End in seconds."""
        return self.end_sample / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the result with its text and its place in the file."""

    start_seconds: float
    end_seconds: float
    text: str
    source: SegmentSource


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One row of the ledger: what a window owned, what the model was given, how it ended."""

    window: int
    owned: Span
    heard: Span
    ending: Ending


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen.

    The defaults decode greedily with the checkpoint's own repetition penalty (None; 1.05 for the
    released model, as its command line). `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and
    `repetition_penalty` 1 switch their rule off.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float | None = None
    seed: int = 0
    ban_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text inside a turn."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioPart:
    """One audio item inside a turn; `num_audio_tokens` rows of embeddings stand for it."""

    num_audio_tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation: role is system, user or assistant."""

    role: str
    parts: tuple[TextPart | AudioPart, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a result cost; `seconds` is wall time a stage."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HearingResult:
    """The answer about one file, as the command line and the services give it."""

    path: str
    task: Task
    text: str
    segments: tuple[Segment, ...]
    coverage: tuple[CoverageRow, ...]
    audio_seconds: float
    model: str
    usage: Usage
    label: str | None = None
    scores: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain object with the field names of the command line's JSON output."""
        plain: dict[str, Any] = {
            "path": self.path,
            "task": self.task.value,
            "text": self.text,
            "segments": [_plain_segment(s) for s in self.segments],
            "coverage": [_plain_row(row) for row in self.coverage],
            "audio_seconds": self.audio_seconds,
            "model": self.model,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "generated_tokens": self.usage.generated_tokens,
                "seconds": {k: round(v, 4) for k, v in self.usage.seconds.items()},
            },
        }
        if self.scores is not None:
            plain |= {"label": self.label, "scores": self.scores}
        return plain


def _plain_segment(segment: Segment) -> dict[str, Any]:
    return {
        "start": round(segment.start_seconds, 3),
        "end": round(segment.end_seconds, 3),
        "text": segment.text,
        "source": segment.source.value,
    }


def _plain_row(row: CoverageRow) -> dict[str, Any]:
    return {
        "start": row.owned.start_seconds,
        "end": row.owned.end_seconds,
        "heard_start": row.heard.start_seconds,
        "heard_end": row.heard.end_seconds,
        "window": row.window,
        "ending": row.ending.value,
    }
