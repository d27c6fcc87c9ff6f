"""Free text matched to the options of a question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz import fuzz

from eureka.dataflux.records import LETTERS
from eureka.dataflux.solve import NUMBERS, seconds_in

MIN_SIMILARITY = 60.0
"""From 0 to 100; text that is less like every option names none."""

MIN_MARGIN = 5.0
"""Ahead of the second best; less is no choice."""

_LETTER = re.compile(r"^\W*(?:option\s+|answer\s*:?\s*)?([A-Da-d])(?:[.):]|\s*$)")


def match_option(text: str, options: Sequence[str]) -> int | None:
    """The option that a text names: by letter, by its very words, by number, or as the one most alike."""
    plain = " ".join(text.lower().split()).strip(" .!?\"'")
    if not plain:
        return None
    lowered = [option.lower() for option in options]
    if plain in lowered:
        return lowered.index(plain)
    letter = _LETTER.match(text)
    if letter and (index := LETTERS.index(letter[1].upper())) < len(options):
        return index
    if all(seconds_in(option) is not None for option in options):
        return _by_number(plain, options)
    return _most_alike(plain, lowered)


def _by_number(text: str, options: Sequence[str]) -> int | None:
    said = seconds_in(text)
    if said is None:
        said = next((float(NUMBERS.index(w)) for w in text.split() if w in NUMBERS), None)
    if said is None:
        return None
    off = [abs((seconds_in(option) or 0.0) - said) for option in options]
    best = min(off)
    return off.index(best) if off.count(best) == 1 and best <= 0.6 else None


def _most_alike(text: str, options: Sequence[str]) -> int | None:
    rated = [fuzz.token_sort_ratio(text, option) for option in options]
    held = [index for index, option in enumerate(options) if re.search(rf"\b{re.escape(option)}\b", text)]
    if len(held) == 1:
        return held[0]
    order = sorted(range(len(options)), key=lambda index: -rated[index])
    if rated[order[0]] < MIN_SIMILARITY:
        return None
    is_clear = len(order) < 2 or rated[order[0]] - rated[order[1]] >= MIN_MARGIN
    return order[0] if is_clear else None
