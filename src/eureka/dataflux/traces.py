"""What the traces of several answers agree on: a second hearing of the item, to hold its caption against."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from eureka.dataflux.describe import read_description
from eureka.dataflux.records import Answered, Caption
from eureka.training.events import Event


def heard_in_traces(answered: Sequence[Answered], seconds: float) -> list[Caption]:
    """What each trace that describes the audio says is heard."""
    traces = [answer.trace for row in answered for answer in (row.first, row.second)]
    found = (read_description(trace, seconds) for trace in traces)
    return [caption for caption in found if caption is not None]


def agreed(heard: Sequence[Caption], seconds: float) -> Caption | None:
    """What more than half of several hearings agree on; None where there are fewer than three.

    Two hearings cannot outvote each other, so they prove nothing about a third.
    """
    if len(heard) < 3:
        return None
    events = tuple(
        sorted(
            (event for phrase in _phrases(heard) for event in _agreed_events(phrase, heard)),
            key=lambda event: (event.start_seconds, event.end_seconds, event.phrase),
        )
    )
    return Caption(
        text="",
        seconds=seconds,
        events=events,
        words=_most([caption.words for caption in heard]),
        background=_most([caption.background for caption in heard]) or "",
        slots=_agreed_slots(heard),
    )


def _phrases(heard: Sequence[Caption]) -> list[str]:
    return sorted({phrase for caption in heard for phrase in caption.phrases})


def _agreed_events(phrase: str, heard: Sequence[Caption]) -> list[Event]:
    """The events of a phrase: as many as most name, each at the median of its times."""
    found = [[event for event in caption.events if event.phrase == phrase] for caption in heard]
    named = [events for events in found if events]
    if len(named) * 2 <= len(heard):
        return []
    count = int(median([len(events) for events in named]))
    alike = [events for events in named if len(events) == count] or [named[0]]
    return [
        Event(
            phrase,
            median([events[place].start_seconds for events in alike]),
            median([events[place].end_seconds for events in alike]),
        )
        for place in range(len(alike[0]))
    ]


def _most(values: Sequence[str | None]) -> str | None:
    """The value that more than half give, else None."""
    best = max(set(values), key=lambda value: (values.count(value), str(value)))
    return best if values.count(best) * 2 > len(values) else None


def _agreed_slots(heard: Sequence[Caption]) -> dict[str, str]:
    names = sorted({name for caption in heard for name in caption.slots})
    found = {name: _most([caption.slots.get(name) for caption in heard]) for name in names}
    return {name: value for name, value in found.items() if value is not None}
