"""Strict JSON of what lies in the store: one spelling of each document, and no field that is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from eureka.errors import InvalidInputError
from eureka.types import Span

JSON_TYPE = "application/json"
"""Media type of all documents."""

T = TypeVar("T")


def to_bytes(plain: dict[str, Any]) -> bytes:
    """The document in UTF-8 with a line feed; equal values give equal bytes."""
    return (json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n").encode()


def to_pretty_bytes(plain: dict[str, Any]) -> bytes:
    """The same for people: two spaces a level."""
    return (json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


class Fields:
    """The fields of a JSON object, taken one by one; what was not taken is refused at the end.

    Args:
        plain: what JSON held.
        what: name of the document, for messages.

    Raises:
        InvalidInputError: reason INVALID_DOCUMENT, from each method: missing, of another type, unknown.
    """

    def __init__(self, plain: object, what: str) -> None:
        if not isinstance(plain, dict):
            raise invalid_document(what, "it is no object")
        self._left: dict[str, Any] = dict(plain)
        self._what = what

    @classmethod
    def of_bytes(cls, content: bytes, what: str, version: int) -> Fields:
        """Those of a whole document, whose version must be the one that is known."""
        try:
            fields = cls(json.loads(content), what)
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise invalid_document(what, "it is no JSON") from error
        if (found := fields.integer("version")) != version:
            raise invalid_document(what, f"its version is {found}; {version} is known")
        return fields

    def text(self, name: str) -> str:
        """A string."""
        return self._take(name, str)

    def integer(self, name: str) -> int:
        """A whole number."""
        return self._take(name, int)

    def number(self, name: str) -> float:
        """A number; whole ones count."""
        found = self._left.get(name)
        return float(self._take(name, int if type(found) is int else float))

    def boolean(self, name: str) -> bool:
        """True or false."""
        return self._take(name, bool)

    def strings(self, name: str) -> tuple[str, ...]:
        """An array of strings."""
        found = self._take(name, list)
        if not all(isinstance(item, str) for item in found):
            raise self._invalid(f"{name} holds more than strings")
        return tuple(found)

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers."""
        found = self._take(name, list)
        if any(type(item) is not int for item in found):
            raise self._invalid(f"{name} holds more than whole numbers")
        return tuple(found)

    def string_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        found = self._take(name, dict)
        if not all(isinstance(item, str) for item in found.values()):
            raise self._invalid(f"{name} holds more than strings")
        return dict(found)

    def time(self, name: str) -> datetime:
        """A moment, in UTC."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise self._invalid(f"{name} is no time") from error
        if moment.tzinfo is None:
            raise self._invalid(f"{name} has no time zone")
        return moment.astimezone(UTC)

    def span(self, name: str) -> Span:
        """[start, end) in samples."""
        found = self._take(name, list)
        if len(found) != 2 or any(type(edge) is not int for edge in found) or not 0 <= found[0] <= found[1]:
            raise self._invalid(f"{name} is no span of samples")
        return Span(found[0], found[1])

    def fields(self, name: str) -> Fields:
        """An object inside."""
        return Fields(self._take(name, dict), f"{self._what}: {name}")

    def each(self, name: str) -> Iterator[Fields]:
        """The objects of an array."""
        for number, item in enumerate(self._take(name, list)):
            yield Fields(item, f"{self._what}: {name} {number}")

    def plain(self, name: str) -> dict[str, Any]:
        """An object inside, as it is."""
        return dict(self._take(name, dict))

    def has(self, name: str) -> bool:
        """Whether there is a value; null is none, and is taken."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
        return name in self._left

    def names(self) -> tuple[str, ...]:
        """Names of what was not taken yet."""
        return tuple(self._left)

    def end(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            raise self._invalid(f"unknown fields {sorted(self._left)}")

    def _take(self, name: str, kind: type[T]) -> T:
        if name not in self._left:
            raise self._invalid(f"{name} is missing")
        found = self._left.pop(name)
        if type(found) is not kind:
            raise self._invalid(f"{name} is {type(found).__name__}, not {kind.__name__}")
        return found

    def _invalid(self, why: str) -> InvalidInputError:
        return invalid_document(self._what, why)


def invalid_document(what: str, why: str) -> InvalidInputError:
    """The error about a document that cannot be read."""
    return InvalidInputError(f"{what} cannot be read: {why}", reason="INVALID_DOCUMENT")


def plain_span(span: Span) -> list[int]:
    """[start, end) in samples."""
    return [span.start_sample, span.end_sample]
