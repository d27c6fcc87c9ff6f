"""A line on stderr that says how far a run of DataFlux is; only on a terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TextIO

from eureka.dataflux.budget import Ledger
from eureka.dataflux.stages import Outcome

_REDRAW_SECONDS = 1.0


class FluxProgress:
    """Yield of each stage, cost and time that is left.

    Args:
        total: items of the run.
        ledger: says the cost.
        stream: where to draw; stderr when omitted. Nothing is drawn unless it is a terminal.
    """

    def __init__(self, total: int, ledger: Ledger, stream: TextIO | None = None) -> None:
        self._total, self._ledger = total, ledger
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._seen: set[int] = set()
        self._counts: Counter[str] = Counter()
        self._started = self._drawn = time.monotonic()

    def saw(self, outcome: Outcome) -> None:
        """An item is done."""
        kept = sum(verdict.is_kept for verdict in outcome.verdicts)
        counts = Counter(questions=len(outcome.questions), answered=len(outcome.answered), accepted=kept)
        self.count(outcome.item.number, counts)

    def count(self, number: int, counts: Counter[str]) -> None:
        """An item is done, here or elsewhere; twice counts once."""
        if number in self._seen:
            return
        self._seen.add(number)
        self._counts += counts
        now = time.monotonic()
        if self._is_shown and now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            self._stream.write(f"\r\x1b[K{self.line(now)}")
            self._stream.flush()

    def line(self, now: float) -> str:
        """`[412/1600] 2060 asked, 2060 answered, 1301 accepted (63 %), 0:08:12 left`."""
        done, counts = len(self._seen), self._counts
        share = counts["accepted"] / counts["questions"] if counts["questions"] else 0.0
        left = (now - self._started) / done * (self._total - done) if done else 0.0
        hours, rest = divmod(int(left), 3600)
        spent = self._ledger.spent
        cost = f", {spent.tokens} tokens, ${spent.usd:.2f}" if spent.tokens else ""
        return (
            f"[{done}/{self._total}] {counts['questions']} asked, {counts['answered']} answered, "
            f"{counts['accepted']} accepted ({share:.0%}){cost}, {hours}:{rest // 60:02}:{rest % 60:02} left"
        )

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
