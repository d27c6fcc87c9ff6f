"""Value types that cross module borders: tasks, endings, spans, conversations and results.

Positions in audio are samples at 16 kHz; times are seconds from the start of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
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
class Constraint:
    """What an answer has to be, whole and from its first token; exactly one of the three is given.

    Spaces around an answer are taken off as ever and count for nothing.

    Attributes:
        choices: one of these texts.
        regex: a text that the expression matches from end to end; Rust's syntax, without look-around.
        json_schema: JSON that the schema, itself JSON, holds for; between its parts stands one space at most.
    """

    choices: tuple[str, ...] | None = None
    regex: str | None = None
    json_schema: str | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen.

    The defaults decode greedily with the checkpoint's own repetition penalty (None; 1.05 for the
    released model, as its command line). `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0,
    `repetition_penalty` 1 and the other penalties at 0 switch their rule off. `min_p` leaves out what is less
    than so many times as probable as the likeliest; presence and frequency penalty are taken from the logits
    of generated tokens, once, and for each time. An answer ends before the first string of `stop` that its
    text contains; `top_logprobs` asks for the log-probabilities of so many best tokens beside each chosen
    one, before temperature, penalties and constraint.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float | None = None
    seed: int = 0
    ban_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    constraint: Constraint | None = None


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


class Priority(IntEnum):
    """How urgent a request is; the engine admits higher ones first."""

    BULK = 1
    DEFAULT = 2
    INTERACTIVE = 3
    PROBE = 4
    """A health probe, which has a slot of its own; the gateway lets no caller ask for it."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the decoder is asked about audio; it lays out the prompt by its checkpoint.

    Attributes:
        task: transcribe, caption and classify have fixed layouts around one audio item; ask takes `turns`.
        language: code or name, a hint; transcripts only.
        turns: the conversation of an ask; its audio parts say how many rows of embeddings each takes.
    """

    task: Task
    language: str | None = None
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of an answer and the time marks around it, in seconds from the start of the audio.

    A mark that the answer lacks is None; without time marks an answer is one phrase at most.
    """

    text: str
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Text of a token and the natural logarithm of its probability, before temperature and penalties."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The chosen token and the most probable ones at its place, most probable first."""

    token: TokenLogprob
    top: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """As `Logprobs`, by ids: what the engine knows before the text side names them.

    Attributes:
        token_id: the chosen token.
        logprob: natural logarithm of its probability, before temperature and penalties.
        top_ids: the most probable tokens, most probable first.
        top_logprobs: of each of `top_ids`.
    """

    token_id: int
    logprob: float
    top_ids: tuple[int, ...]
    top_logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a result cost; `seconds` is wall time a stage."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TextRequest:
    """One question to a decoder.

    Attributes:
        instruction: what is asked.
        audio_embeddings: (A, W) float32 rows for all its audio, in order; (0, 0) where it holds none.
        sampling: how tokens are chosen; plays no part in scoring.
        deadline: time on the monotonic clock after which it ends with DEADLINE.
        priority: how urgent it is.
    """

    instruction: Instruction
    audio_embeddings: NDArray[np.float32]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    deadline: float | None = None
    priority: Priority = Priority.DEFAULT


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of an answer; the last delta, and only that, carries `ending`, `phrases` and `usage`.

    Attributes:
        text: whole characters; all deltas joined are the answer.
        token_ids: the new tokens.
        logprobs: one entry a new token, where they were asked for.
        ending: how the answer ended.
        phrases: the answer in phrases; a loop that fills its end is said once.
        usage: what it cost.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Logprobs, ...] = ()
    ending: Ending | None = None
    phrases: tuple[Phrase, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What callers may know of a served checkpoint.

    Attributes:
        name: for the `model` field of requests.
        languages: code -> English name, as a hint may name them.
        context_tokens: longest prompt and answer together.
        best_window_seconds: longest window that it hears well.
        time_step_seconds: resolution of its time marks; None where it writes none.
        repetition_penalty: of requests that name none.
        weights_sha256: of the weights file, hex.
        numerics: numeric mode, exact or fast.
    """

    name: str
    languages: dict[str, str]
    context_tokens: int
    best_window_seconds: float
    time_step_seconds: float | None
    repetition_penalty: float
    weights_sha256: str = ""
    numerics: str = "exact"


@dataclass(frozen=True, slots=True)
class CallContext:
    """What travels with a call through every hop.

    Attributes:
        request_id: the caller's id, or one that the gateway drew; in every log line of the call.
        traceparent: W3C trace context, empty without one.
        tenant: whose call it is.
        deadline: time on the monotonic clock; None without one.
        priority: how urgent it is.
    """

    request_id: str
    traceparent: str = ""
    tenant: str = "default"
    deadline: float | None = None
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class HearingResult:
    """The answer about one file, as the command line and the services give it.

    `log_probabilities` holds, for each label of a closed set, the natural logarithm of the probability that
    the whole answer is this label; `scores` is their softmax. The command line's output leaves it out.
    """

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
    log_probabilities: dict[str, float] | None = None

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
