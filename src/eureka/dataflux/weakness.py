"""What an evaluation found weak, as weights of the next run: the closed loop.

The file is JSON, each part may be missing:

    {"categories": {"mixed/first": 0.61, ...},          accuracy of each category of questions
     "confusion": {"rain": {"sea waves": 7, "rain": 20}, ...}}    what was heard, what was said instead

A category or phrase of accuracy a weighs (2 - a) ** sharpness: from 1 where all is right to 2 ** sharpness.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Weakness:
    """Weights of categories and phrases, and shares of confusion of each phrase."""

    categories: Mapping[str, float] = field(default_factory=dict)
    phrases: Mapping[str, float] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def read_weakness(path: str, sharpness: float) -> Weakness:
    """The weakness of an evaluation's file; none where the path is empty.

    Raises:
        InvalidInputError: reason INVALID_CONFUSION; the file is not there, or not of this form.
    """
    if not path:
        return Weakness()
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
        return weakness_of(plain, sharpness)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        message = f"{path} is no confusion of an evaluation: {error}"
        raise InvalidInputError(message, reason="INVALID_CONFUSION") from error


def weakness_of(plain: Mapping[str, Any], sharpness: float) -> Weakness:
    """The weakness that a plain object tells."""
    categories = {name: _weight(float(a), sharpness) for name, a in plain.get("categories", {}).items()}
    phrases, confusion = {}, {}
    for heard, said in plain.get("confusion", {}).items():
        total = sum(float(count) for count in said.values())
        if total <= 0:
            continue
        phrases[heard] = _weight(float(said.get(heard, 0)) / total, sharpness)
        confusion[heard] = {name: float(n) / total * 10 for name, n in said.items() if name != heard}
    return Weakness(categories, phrases, confusion)


def _weight(accuracy: float, sharpness: float) -> float:
    if not 0 <= accuracy <= 1:
        raise ValueError(f"an accuracy lies between 0 and 1, not {accuracy}")
    return round(float((2.0 - accuracy) ** sharpness), 6)
