"""Items of a published benchmark: a piece of audio, what is asked about it and what is right.

Audio is decoded when its item is heard, never before, so a suite of any size loads in little memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eureka.audio.decode import DecodeLimits, decode_all
from eureka.audio.span_reader import open_from
from eureka.errors import EurekaError, InvalidAudioError, InvalidInputError, NotFoundError
from eureka.evaluation.metrics import TimedEvent
from eureka.types import SAMPLE_RATE_HZ, Pcm, Task

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of options, in their order."""


class StoredAudio(Protocol):
    """A file inside another one."""

    def content(self) -> bytes:
        """Its bytes."""
        ...


@dataclass(frozen=True, slots=True)
class ItemAudio:
    """Where the audio of an item is.

    Attributes:
        source: a file, the bytes of one, or a file inside another.
        start_seconds: first moment that belongs to the item.
        end_seconds: where it ends; None at the end of the file.
    """

    source: Path | bytes | StoredAudio
    start_seconds: float = 0.0
    end_seconds: float | None = None

    def read(self) -> Pcm:
        """Samples (S,) float32, 16 kHz.

        Raises:
            NotFoundError: reason AUDIO_NOT_FOUND.
            InvalidAudioError: it holds nothing that can be decoded, or ends before the item does.
        """
        source = self.source if isinstance(self.source, Path | bytes) else self.source.content()
        if isinstance(source, Path) and not source.is_file():
            raise NotFoundError(f"there is no audio {source}", reason="AUDIO_NOT_FOUND")
        if self.start_seconds == 0 and self.end_seconds is None:
            return decode_all(source, DecodeLimits())
        start = round(self.start_seconds * SAMPLE_RATE_HZ)
        end = None if self.end_seconds is None else round(self.end_seconds * SAMPLE_RATE_HZ)
        return _read_span(source, start, end)


def _read_span(source: Path | bytes, start: int, end: int | None) -> Pcm:
    """Samples from `start` to `end`; what the container cannot seek is decoded from its beginning."""
    try:
        pcm = _read_from(source, start, end)
    except InvalidAudioError as error:
        if error.reason != "SEEK_MISSED":
            raise
        pcm = _read_from(source, 0, end)[start:]
    if len(pcm) == 0:
        raise InvalidAudioError(f"the audio ends before sample {start}", reason="EMPTY_AUDIO")
    return pcm


def _read_from(source: Path | bytes, start: int, end: int | None) -> Pcm:
    blocks, left = [], np.inf if end is None else end - start
    with open_from(source, start) as reader:
        for block in reader:
            blocks.append(block[: int(min(left, len(block)))])
            left -= len(block)
            if left <= 0:
                break
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One thing asked about an item.

    Attributes:
        name: of its reply, unique in the suite.
        task: transcribe, caption, ask or classify.
        text: the question of an ask; empty asks by the audio alone.
        labels: a closed set: of classify, or of an ask that is scored instead of generated.
    """

    name: str
    task: Task
    text: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a suite.

    Attributes:
        item_id: unique in the suite and split.
        audio: what is heard.
        reference: what is right: transcript, text of the right option, or label.
        question: asked about the audio; empty where the audio itself asks.
        options: to choose from, in the order of their letters.
        groups: names of the parts of the set that the item belongs to, such as `task: music`.
        events: what is heard when.
        rules: of an instruction that is checked: (id, arguments).
    """

    item_id: str
    audio: ItemAudio
    reference: str = ""
    question: str = ""
    options: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    events: tuple[TimedEvent, ...] = ()
    rules: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=())

    @property
    def right_letter(self) -> str:
        """Letter of the right option.

        Raises:
            InvalidInputError: the reference is none of the options.
        """
        try:
            return LETTERS[self.options.index(self.reference)]
        except ValueError:
            message = f"item {self.item_id!r}: the answer {self.reference!r} is none of {list(self.options)}"
            raise InvalidInputError(message, reason="BAD_DATASET") from None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one inquiry.

    Attributes:
        text: as generated; the label of a closed set.
        events: with times that the model itself gave.
        error: reason word where nothing came back.
        num_tokens: generated.
    """

    text: str = ""
    events: tuple[TimedEvent, ...] = ()
    error: str | None = None
    num_tokens: int = 0

    @classmethod
    def failed(cls, error: EurekaError) -> Reply:
        """The reply of an inquiry that was refused."""
        return cls(error=error.reason)


def letters(options: tuple[str, ...]) -> tuple[str, ...]:
    """Letters of the options."""
    return tuple(LETTERS[: len(options)])


def choice_question(question: str, options: tuple[str, ...]) -> str:
    """The question with its options below it, a letter, a full stop and a blank before each."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines])
