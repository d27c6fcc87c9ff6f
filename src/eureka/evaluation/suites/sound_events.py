"""Event-based scores with a collar, by the definition of sed_eval (Mesaros, Heittola, Virtanen 2016).

An event that was found is right when its label is, its onset lies within the collar, and its offset within
the larger of the collar and a share of the true event's length. Pairs are chosen so that as many as
possible come about (maximum matching in a bipartite graph), each event once. A class that never occurs, or
is never found, is left out of sed_eval's mean over classes; here it counts as zero, so that silence does not
raise a mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from eureka.evaluation.counts import Counts
from eureka.evaluation.metrics import TimedEvent

COLLAR_SECONDS = 0.2
"""Of onsets, and the least of offsets: sed_eval's default."""

OFFSET_SHARE = 0.2
"""Of the true event's length: what DCASE's task on domestic sounds takes (sed_eval's default is 0.5)."""

_SLACK = 1e-9
"""Seconds of rounding that must not decide."""


def matched_events(
    truth: Sequence[TimedEvent],
    found: Sequence[TimedEvent],
    collar_seconds: float = COLLAR_SECONDS,
    offset_share: float = OFFSET_SHARE,
) -> list[tuple[int, int]]:
    """Places (truth, found) of as many pairs as can be made."""
    fitting = [
        [place for place, event in enumerate(found) if fits(true, event, collar_seconds, offset_share)]
        for true in truth
    ]
    taken: dict[int, int] = {}
    for place in range(len(truth)):
        _seat(place, fitting, taken, set())
    return sorted((true, place) for place, true in taken.items())


def fits(true: TimedEvent, found: TimedEvent, collar_seconds: float, offset_share: float) -> bool:
    """Whether a found event may stand for a true one."""
    length = true.end_seconds - true.start_seconds
    offset_collar = max(collar_seconds, offset_share * length)
    return (
        true.kind == found.kind
        and abs(true.start_seconds - found.start_seconds) <= collar_seconds + _SLACK
        and abs(true.end_seconds - found.end_seconds) <= offset_collar + _SLACK
    )


def _seat(true: int, fitting: list[list[int]], taken: dict[int, int], tried: set[int]) -> bool:
    """Give `true` a partner, moving others on where that makes room (an augmenting path)."""
    for place in fitting[true]:
        if place in tried:
            continue
        tried.add(place)
        if place not in taken or _seat(taken[place], fitting, taken, tried):
            taken[place] = true
            return True
    return False


def event_counts(truth: Sequence[TimedEvent], found: Sequence[TimedEvent]) -> Counts:
    """Of one recording, by class: twice the pairs, and true and found events together (F1 of a class)."""
    counts = {event.kind: [0.0, 0.0] for event in (*truth, *found)}
    for event in (*truth, *found):
        counts[event.kind][1] += 1
    for place, _ in matched_events(truth, found):
        counts[truth[place].kind][0] += 2
    return {kind: (pair[0], pair[1]) for kind, pair in counts.items()}


def tag_counts(truth: Sequence[TimedEvent], found: Sequence[TimedEvent]) -> Counts:
    """As `event_counts` with times left out: whether a class occurs in the recording at all."""
    right, named = {event.kind for event in truth}, {event.kind for event in found}
    return {
        kind: (2.0 * (kind in right and kind in named), (kind in right) + (kind in named))
        for kind in right | named
    }
