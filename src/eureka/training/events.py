"""What is heard when: events of a clip, how parts become events, their caption and frame targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.training.activity import Parts, merge_parts
from eureka.training.feature_pack import Clip
from eureka.training.manifest import ManifestClip
from eureka.training.sound_labels import (
    EVENT_CLASS_INDEX,
    EVENT_CLASSES,
    SILENCE_PHRASE,
    SPEAKER_CLASSES,
    is_continuous_phrase,
    is_speech_phrase,
    phrase_classes,
    sound_phrase,
    speaking_phrase,
)

MERGE_GAP_SECONDS = 0.6
"""Parts of one sound closer than this are one event."""

TIME_STEP_SECONDS = 0.2
"""Step of the time tokens in captions."""

MAX_TIME_SECONDS = 30.0
"""The last time token."""

MAX_SPEECH_PAUSE_SECONDS = 1.5
"""A speaker who pauses shorter than this is still speaking."""


@dataclass(frozen=True, slots=True)
class Event:
    """A sound with its place, in seconds from the start of the clip or scene."""

    phrase: str
    start_seconds: float
    end_seconds: float

    def moved(self, seconds: float) -> Event:
        """The same event later by `seconds`."""
        return Event(self.phrase, self.start_seconds + seconds, self.end_seconds + seconds)


def clip_events(clip: Clip) -> tuple[Event, ...]:
    """Events of a clip of a pack: its label or its speaker, over the parts in which it sounds.

    A clip without label, words and slots has none: nobody knows what is in it.
    """
    spoken = clip.text is not None or bool(clip.slots)
    speaker = speaking_phrase(clip.about.get("gender"), clip.about.get("age")) if spoken else None
    return _events_of(clip.label, speaker, clip.active or (), clip.seconds)


def manifest_events(clip: ManifestClip, active: Parts = ()) -> tuple[Event, ...]:
    """Events of a manifest row, by the same rule; `active` stands in where the row has no parts."""
    spoken = clip.text is not None or bool(clip.slots)
    speaker = speaking_phrase(clip.gender, clip.age) if spoken else None
    return _events_of(clip.label, speaker, clip.active or active, clip.duration_seconds)


def merge_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events of each phrase merged by its rule, all in order of start.

    Continuous sounds become one event from first to last; parts of other sounds are joined when
    closer than 0.6 s, those of a speaker when closer than 1.5 s.
    """
    parts: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        parts.setdefault(event.phrase, []).append((event.start_seconds, event.end_seconds))
    merged = [
        Event(phrase, start, end)
        for phrase, spans in parts.items()
        for start, end in merge_parts(spans, _merge_gap(phrase))
    ]
    return tuple(sorted(merged, key=lambda event: (event.start_seconds, event.end_seconds, event.phrase)))


def caption_text(events: Iterable[Event]) -> str:
    """The caption of events: `<|0.4|>dog bark<|1.2|><|2.0|>man speaking<|4.6|>`, `silence` for none.

    Times are rounded to 0.2 s; no event is shorter than that.
    """
    pieces = []
    for event in sorted(events, key=lambda event: (event.start_seconds, event.end_seconds, event.phrase)):
        start = min(round(event.start_seconds / TIME_STEP_SECONDS), _LAST_STEP - 1)
        end = min(max(round(event.end_seconds / TIME_STEP_SECONDS), start + 1), _LAST_STEP)
        pieces.append(f"{_time_token(start)}{event.phrase}{_time_token(end)}")
    return "".join(pieces) or SILENCE_PHRASE


def frame_event_targets(
    events: Sequence[Event], num_frames: int, frames_per_second: int = 50
) -> NDArray[np.float32]:
    """Which event classes are on in each frame, (T, C) float32 of 0 and 1.

    Args:
        events: what is heard.
        num_frames: T.
        frames_per_second: 50 for encoder frames, 100 for mel frames.
    """
    targets = np.zeros((num_frames, len(EVENT_CLASSES)), np.float32)
    for event in events:
        first = max(0, round(event.start_seconds * frames_per_second))
        last = min(num_frames, max(first + 1, round(event.end_seconds * frames_per_second)))
        for name in phrase_classes(event.phrase):
            targets[first:last, EVENT_CLASS_INDEX[name]] = 1.0
    return targets


def known_event_classes(events: Sequence[Event]) -> NDArray[np.float32]:
    """Which classes the events decide, (C,) of 0 and 1: a speaker of unknown kind leaves three open."""
    known = np.ones(len(EVENT_CLASSES), np.float32)
    if any(event.phrase == "person speaking" for event in events):
        known[[EVENT_CLASS_INDEX[name] for name in SPEAKER_CLASSES]] = 0.0
    return known


_LAST_STEP = round(MAX_TIME_SECONDS / TIME_STEP_SECONDS)


def _time_token(step: int) -> str:
    return f"<|{step * TIME_STEP_SECONDS:.1f}|>"


def _merge_gap(phrase: str) -> float:
    if is_continuous_phrase(phrase):
        return float("inf")
    return MAX_SPEECH_PAUSE_SECONDS if is_speech_phrase(phrase) else MERGE_GAP_SECONDS


def _events_of(label: str | None, speaker: str | None, active: Parts, seconds: float) -> tuple[Event, ...]:
    phrase = speaker if label is None else sound_phrase(label)
    if phrase is None:
        return ()
    return merge_events(Event(phrase, start, end) for start, end in active or ((0.0, seconds),))
