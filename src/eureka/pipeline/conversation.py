"""Conversations as callers give them: turns of text and audio that is not decoded yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eureka.types import AudioPart, Instruction, Pcm, Task, TextPart, Turn

Blocks = Iterable[Pcm]
"""Decoded audio of one item in order, float32 at 16 kHz, any block length."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioItem:
    """One audio item inside a turn; its blocks are read once, when the conversation is heard."""

    blocks: Blocks


@dataclass(frozen=True, slots=True, eq=False)
class SpokenTurn:
    """One turn: role is system, user or assistant; any number of texts and audio items in order."""

    role: str
    parts: tuple[TextPart | AudioItem, ...]


def audio_items(turns: Sequence[SpokenTurn]) -> list[Blocks]:
    """Blocks of all audio items, in the order of the conversation."""
    return [part.blocks for turn in turns for part in turn.parts if isinstance(part, AudioItem)]


def conversation(turns: Sequence[SpokenTurn], num_tokens: Iterable[int]) -> Instruction:
    """The turns as an instruction; `num_tokens` has the audio tokens of each item, in order."""
    counts = iter(num_tokens)
    laid_out = tuple(Turn(turn.role, tuple(_parts(turn, counts))) for turn in turns)
    return Instruction(Task.ASK, turns=laid_out)


def _parts(turn: SpokenTurn, counts: Iterator[int]) -> Iterator[TextPart | AudioPart]:
    for part in turn.parts:
        yield part if isinstance(part, TextPart) else AudioPart(next(counts))
