"""Captions as sentences, and back: what a grounded captioner says, and what a judge reads out of a trace."""

from __future__ import annotations

import re
from dataclasses import replace

from eureka.dataflux.records import Caption
from eureka.training.events import Event
from eureka.training.sound_labels import all_phrases

_PHRASES = "|".join(re.escape(phrase) for phrase in sorted(all_phrases(), key=len, reverse=True))
_EVENT = re.compile(rf"\b({_PHRASES}) from ([\d.]+) s to ([\d.]+) s")
_WORDS = re.compile(r'The words are "([^"]*)"\.')
_BACKGROUND = re.compile(rf"Under everything there is ({_PHRASES})\.")
_ANSWER = re.compile(r"the answer is[:\s]+(.+?)\.?\s*$", re.IGNORECASE | re.DOTALL)
NOBODY_SPEAKS = "Nobody speaks."


def describe(caption: Caption) -> str:
    """The caption in sentences: every event with its times, the words, the background."""
    parts = [f"{_event(event)}." for event in caption.events]
    if caption.words:
        parts.append(f'The words are "{caption.words}".')
    elif caption.words == "":
        parts.append(NOBODY_SPEAKS)
    if caption.slots:
        named = "; ".join(f"{name}: {value}" for name, value in sorted(caption.slots.items()))
        parts.append(f"What is ordered: {named}.")
    if caption.background:
        parts.append(f"Under everything there is {caption.background}.")
    return " ".join(parts) or "Nothing is heard."


def with_text(caption: Caption) -> Caption:
    """The caption with its sentences written anew."""
    return replace(caption, text=describe(caption))


def read_description(text: str, seconds: float) -> Caption | None:
    """What a text in the form of `describe` says is heard; None where it names no event and no words."""
    events = tuple(Event(m[1], float(m[2]), float(m[3])) for m in _EVENT.finditer(text))
    said = _WORDS.search(text)
    words = said[1] if said else "" if NOBODY_SPEAKS in text else None
    if not events and not words:
        return None
    background = _BACKGROUND.search(text)
    return Caption(text, seconds, events, words, background[1] if background else "", _slots(text))


def concluded(trace: str) -> str | None:
    """What a trace says that the answer is; None where it concludes nothing."""
    match = _ANSWER.search(trace)
    return match[1].strip().strip('"') if match else None


def _event(event: Event) -> str:
    return f"{event.phrase} from {event.start_seconds:.2f} s to {event.end_seconds:.2f} s"


def _slots(text: str) -> dict[str, str]:
    match = re.search(r"What is ordered: ([^.]*)\.", text)
    pairs = (piece.partition(": ") for piece in match[1].split("; ")) if match else ()
    return {name: value for name, _, value in pairs if value}
