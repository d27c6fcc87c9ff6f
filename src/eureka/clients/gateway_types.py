"""What callers of the gateway give and get, beside the value types of `eureka.types`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal

from eureka.types import CoverageRow, Ending, HearingResult, Logprobs, ModelCard, Task, Usage


@dataclass(frozen=True, slots=True)
class Upload:
    """A recording that the gateway keeps for later calls of the same tenant.

    Attributes:
        name: `uploads/{upload}`.
        size_bytes: bytes received; 0 where only the name is known.
        expire_time: when it will be deleted, in UTC; None where only the name is known.
    """

    name: str
    size_bytes: int = 0
    expire_time: datetime | None = None


AudioSource = str | os.PathLike[str] | bytes | BinaryIO | Upload
"""A path, the bytes of a file, an open file that can seek, or an upload."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Audio inside a turn.

    Attributes:
        audio: where it is.
        channel: channel from 0; None hears the mean of all.
    """

    audio: AudioSource
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        parts: what is said, in order; a str is text, never a path.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Recording, ...]


Question = str | Sequence[ChatTurn]
"""A question about audio, or a whole conversation that ends with a turn of the user."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call is tried again: after UNAVAILABLE and RESOURCE_EXHAUSTED, within its deadline.

    The pause before attempt n + 1 is `first_pause_seconds * multiplier ** (n - 1)`, at most
    `max_pause_seconds`, and at least what the server asks for; up to `jitter` of it is added by chance, so
    that callers who failed together do not come back together.

    Attributes:
        max_attempts: attempts in all; 1 never tries again.
        first_pause_seconds: pause after the first attempt.
        multiplier: growth of the pause.
        max_pause_seconds: longest pause of our own.
        jitter: share of a pause, 0 to 1.
    """

    max_attempts: int = 4
    first_pause_seconds: float = 0.2
    multiplier: float = 2.0
    max_pause_seconds: float = 5.0
    jitter: float = 0.25


@dataclass(frozen=True, slots=True)
class Answer(HearingResult):
    """The answer to a question.

    Attributes:
        ending: how it ended: STOP, LENGTH or REPETITION.
        logprobs: one entry a generated token, where `top_logprobs` asked for it.
    """

    ending: Ending = Ending.STOP
    logprobs: tuple[Logprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """What is known when a generated answer has ended.

    Attributes:
        model: the checkpoint that answered.
        ending: STOP, LENGTH or REPETITION.
        coverage: one row for the audio of the conversation; none where it holds no audio.
        usage: what it cost.
    """

    model: str
    ending: Ending
    coverage: tuple[CoverageRow, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of a generated answer.

    Attributes:
        text: whole characters, may be empty; all deltas joined are the answer.
        num_tokens: tokens generated since the last delta.
        logprobs: one entry a new token, where `top_logprobs` asked for it.
        end: of the last delta, and only of that.
    """

    text: str
    num_tokens: int = 0
    logprobs: tuple[Logprobs, ...] = ()
    end: AnswerEnd | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a gateway.

    Attributes:
        max_prompt_audio_seconds: audio of one ask, classify or generate, all recordings together.
        max_window_audio_seconds: audio of one transcribe or caption.
        max_inline_bytes: largest file inside a message; the client uploads larger ones by itself.
        max_upload_bytes: largest upload.
        upload_ttl_seconds: how long an upload is kept.
        max_message_bytes: largest gRPC message.
    """

    max_prompt_audio_seconds: float
    max_window_audio_seconds: float
    max_inline_bytes: int
    max_upload_bytes: int
    upload_ttl_seconds: float
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class ServedModel(ModelCard):
    """A checkpoint that a gateway serves; `tasks` is what it can be asked."""

    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedModels:
    """What a gateway serves.

    Attributes:
        models: all checkpoints, the default one first.
        limits: of the gateway.
    """

    models: tuple[ServedModel, ...]
    limits: Limits

    @property
    def default(self) -> ServedModel:
        """The checkpoint that answers where a call names none."""
        return self.models[0]
