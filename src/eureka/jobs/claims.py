"""Claims on windows: they keep two workers from the same work, and nothing depends on them.

A claim that is lost or never made costs work that is done twice; the first writer of the outcome wins all
the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

CLAIM_SECONDS = 60.0
"""How long a claim lives after its last heartbeat: longer than one answer takes."""


class Claim(Protocol):
    """A window that this worker is at.

    Attributes:
        number: how many claims were made on it so far, this one included; 1 for the first.
    """

    @property
    def number(self) -> int:
        """See above."""
        ...

    def beat(self) -> None:
        """Say that work goes on."""
        ...

    def release(self) -> None:
        """Say that it ended."""
        ...


class Claims(Protocol):
    """Who is at what, shared by all workers. Methods do not raise where the record of claims is away."""

    def claim(self, name: str) -> Claim | None:
        """A claim on `name`; None where somebody else's is alive."""
        ...

    def is_live(self, name: str) -> bool:
        """Whether somebody is at it."""
        ...

    def num_claims(self, name: str) -> int:
        """How many claims were made on it so far."""
        ...


class NoClaims:
    """Everybody may do everything."""

    def claim(self, name: str) -> Claim | None:
        """Always a claim."""
        return _FreeClaim()

    def is_live(self, name: str) -> bool:
        """Never."""
        return False

    def num_claims(self, name: str) -> int:
        """Unknown, so none."""
        return 0


@dataclass(frozen=True, slots=True)
class _FreeClaim:
    number: int = 1

    def beat(self) -> None:
        """Nobody listens."""

    def release(self) -> None:
        """Nobody waits."""


class MemoryClaims:
    """Claims of the threads of one process.

    Args:
        live_seconds: how long a claim lives after its last heartbeat.
        now: seconds of a growing clock.
    """

    def __init__(
        self, live_seconds: float = CLAIM_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._live_seconds = live_seconds
        self._now = now
        self._lock = threading.Lock()
        self._holders: dict[str, tuple[int, float]] = {}  # number of the claim, time it dies
        self._numbers: dict[str, int] = {}

    def claim(self, name: str) -> Claim | None:
        """As `Claims`."""
        with self._lock:
            if self._is_live(name):
                return None
            number = self._numbers[name] = self._numbers.get(name, 0) + 1
            self._holders[name] = number, self._now() + self._live_seconds
            return _MemoryClaim(self, name, number)

    def is_live(self, name: str) -> bool:
        """As `Claims`."""
        with self._lock:
            return self._is_live(name)

    def num_claims(self, name: str) -> int:
        """As `Claims`."""
        with self._lock:
            return self._numbers.get(name, 0)

    def beat(self, name: str, number: int) -> None:
        """Lengthen a claim, unless somebody else holds it by now."""
        with self._lock:
            if self._holders.get(name, (0, 0.0))[0] == number:
                self._holders[name] = number, self._now() + self._live_seconds

    def release(self, name: str, number: int) -> None:
        """End a claim, unless somebody else holds it by now."""
        with self._lock:
            if self._holders.get(name, (0, 0.0))[0] == number:
                del self._holders[name]

    def _is_live(self, name: str) -> bool:
        return name in self._holders and self._now() < self._holders[name][1]


@dataclass(frozen=True, slots=True)
class _MemoryClaim:
    _claims: MemoryClaims
    _name: str
    number: int

    def beat(self) -> None:
        """As `Claim`."""
        self._claims.beat(self._name, self.number)

    def release(self) -> None:
        """As `Claim`."""
        self._claims.release(self._name, self.number)
