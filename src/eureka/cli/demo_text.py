"""What the demo prints: what was said, what was heard, and the error between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.evaluation.composed_sets import event_kind
from eureka.evaluation.demo_sample import DemoSample
from eureka.evaluation.metrics import TimedEvent, match_events, word_errors
from eureka.types import SAMPLE_RATE_HZ, HearingResult, Pcm

_INDENT = " " * 10
_LABELS_SHOWN = 3
_FAR_SECONDS = 60.0
"""Events of one kind are compared however far apart they are."""


@dataclass(frozen=True, slots=True)
class Classified:
    """Scores of the closed set for one stretch of the audio."""

    start_seconds: float
    end_seconds: float
    scores: dict[str, float]

    @property
    def best(self) -> list[tuple[str, float]]:
        """The most probable labels, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:_LABELS_SHOWN]


@dataclass(frozen=True, slots=True, eq=False)
class DemoOutcome:
    """Everything that the demo found out.

    Attributes:
        transcript: of the whole file.
        caption: of the whole file.
        classified: stretches judged against the ten sounds.
        pcm: (S,) the first seconds of the audio, as drawn.
        expert_shares: (A, E) for the same seconds.
        listening_seconds: from the first byte to the last word.
        sample: the truth; None for a file of the user's.
        seed: of the sample.
    """

    transcript: HearingResult
    caption: HearingResult
    classified: tuple[Classified, ...]
    pcm: Pcm
    expert_shares: NDArray[np.float32]
    listening_seconds: float
    sample: DemoSample | None = None
    seed: int | None = None

    @property
    def seconds_drawn(self) -> float:
        """Length of `pcm`."""
        return len(self.pcm) / SAMPLE_RATE_HZ

    @property
    def word_error_rate(self) -> float | None:
        """Of the transcript against the sample's text; None without a sample."""
        if self.sample is None:
            return None
        return word_errors([self.sample.text], [self.transcript.text]).value

    @property
    def heard_events(self) -> tuple[TimedEvent, ...]:
        """Events of the caption, as they are judged."""
        segments = self.caption.segments
        return tuple(TimedEvent(event_kind(s.text), s.start_seconds, s.end_seconds) for s in segments)


@dataclass(frozen=True, slots=True)
class PictureTexts:
    """The lines of text in the picture."""

    title: str
    subtitle: str
    footer: str


def outcome_lines(outcome: DemoOutcome) -> list[str]:
    """The printed report."""
    return [
        *_truth_lines(outcome.sample),
        f"heard     {_quoted(outcome.transcript.text)}{_error_note(outcome)}",
        *_event_lines(outcome),
        *_class_lines(outcome),
        f"took      {_speed(outcome)}",
    ]


def picture_texts(outcome: DemoOutcome) -> PictureTexts:
    """Title, subtitle and footer of the picture."""
    facts = (
        [] if outcome.sample is None else [outcome.sample.speaker, f"sounds: {outcome.sample.sound_origin}"]
    )
    if outcome.word_error_rate is not None:
        facts.append(f"word error rate {outcome.word_error_rate:.2f}")
    facts += _sound_facts(outcome)
    if outcome.sample is None:
        facts.append(outcome.transcript.path)
    return PictureTexts(
        title=_quoted(outcome.transcript.text)
        if outcome.transcript.text
        else outcome.caption.text or "silence",
        subtitle="  ·  ".join(facts),
        footer=f"{outcome.transcript.model}  ·  {_speed(outcome)}",
    )


def _truth_lines(sample: DemoSample | None) -> list[str]:
    if sample is None:
        return []
    speech = next(event for event in sample.events if event.kind == "speech")
    sounds = [f"{_span(e.start_seconds, e.end_seconds)}  {e.kind}" for e in sample.sounds]
    place = _span(speech.start_seconds, speech.end_seconds)
    return [
        f"said      {place}  {_quoted(sample.text)}   ({sample.speaker})",
        *_listed("sounds", sounds, f"   ({sample.sound_origin})"),
        "",
    ]


def _event_lines(outcome: DemoOutcome) -> list[str]:
    events = [f"{_span(s.start_seconds, s.end_seconds)}  {s.text}" for s in outcome.caption.segments]
    facts = ", ".join(_sound_facts(outcome))
    return _listed("sounds", events or ["silence"], f"   ({facts})" if facts else "")


def _class_lines(outcome: DemoOutcome) -> list[str]:
    lines = []
    truths: list[str | None] = [None] * len(outcome.classified)
    if outcome.sample is not None:
        truths = [sound.kind for sound in outcome.sample.sounds]
    for found, truth in zip(outcome.classified, truths, strict=True):
        best = ", ".join(f"{label} {probability:.2f}" for label, probability in found.best)
        verdict = "" if truth is None else ("   right" if found.best[0][0] == truth else f"   wrong, {truth}")
        lines.append(f"{_span(found.start_seconds, found.end_seconds)}  {best}{verdict}")
    return _listed("classify", lines, "   (of ten sounds)")


def _sound_facts(outcome: DemoOutcome) -> list[str]:
    """How many of the sample's sounds were named, and how far off in time."""
    if outcome.sample is None:
        return []
    sounds = outcome.sample.sounds
    heard = outcome.heard_events
    named = sum(sound.kind in {event.kind for event in heard} for sound in sounds)
    facts = [f"{named} of {len(sounds)} sounds named"]
    pairs = match_events(outcome.sample.events, heard, _FAR_SECONDS)
    if pairs:
        offs = [
            (abs(a.start_seconds - b.start_seconds), abs(a.end_seconds - b.end_seconds)) for a, b in pairs
        ]
        facts.append(f"times off by {float(np.mean(offs)):.2f} s")
    return facts


def _error_note(outcome: DemoOutcome) -> str:
    rate = outcome.word_error_rate
    return "" if rate is None else f"   (word error rate {rate:.2f})"


def _speed(outcome: DemoOutcome) -> str:
    audio, spent = outcome.transcript.audio_seconds, outcome.listening_seconds
    return f"{audio:.1f} s of audio heard in {spent:.2f} s ({spent / audio:.3f} seconds a second)"


def _listed(name: str, lines: Sequence[str], note: str = "") -> list[str]:
    """Lines under one name; the note follows the first."""
    if not lines:
        return []
    return [f"{name:<10}{lines[0]}{note}", *(f"{_INDENT}{line}" for line in lines[1:])]


def _span(start: float, end: float) -> str:
    return f"{start:4.1f} - {end:4.1f} s"


def _quoted(text: str) -> str:
    return f"\u201c{text}\u201d" if text else "(no words)"
