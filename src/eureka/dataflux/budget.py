"""A budget that several processes share and that no kill forgets: a ledger of numbered entries.

Room is reserved before a call, for the most that it may cost; after the call the rest is given back. Each
entry is created under the next free number, which only one writer can get: so what is reserved at any time
never exceeds the budget, also not by processes that do not know of each other. Who is killed during a call
leaves its reservation spent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from eureka.dataflux.recipe import BudgetConfig
from eureka.dataflux.records import canonical, from_json
from eureka.dataflux.roles import BudgetSpentError
from eureka.errors import NotFoundError
from eureka.storage.store import ObjectStore

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and US dollars, reserved ones included."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(slots=True)
class Call:
    """A call under a reservation; set what it took, else all of the reservation stays spent."""

    prompt_tokens: int
    generated_tokens: int


class Ledger:
    """What a run has spent, over all its restarts.

    Args:
        objects: where the entries lie.
        folder: ends with a slash.
        limits: of the recipe.
    """

    def __init__(self, objects: ObjectStore, folder: str, limits: BudgetConfig) -> None:
        self._objects, self._folder, self._limits = objects, folder, limits
        self._lock = threading.Lock()
        self._next, self._tokens, self._usd = 0, 0, 0.0

    @property
    def spent(self) -> Spent:
        """The sum of all entries."""
        with self._lock:
            self._read()
            return Spent(self._tokens, self._usd)

    @contextmanager
    def call(self, prompt_tokens: int, generated_tokens: int) -> Iterator[Call]:
        """Room for one call of at most so many tokens.

        Raises:
            BudgetSpentError: there is none.
        """
        self._add(prompt_tokens, generated_tokens, is_checked=True)
        call = Call(prompt_tokens, generated_tokens)
        try:
            yield call
        finally:
            back = (call.prompt_tokens - prompt_tokens, call.generated_tokens - generated_tokens)
            if any(back):
                self._add(*back, is_checked=False)

    def _add(self, prompt_tokens: int, generated_tokens: int, is_checked: bool) -> None:
        tokens, usd = prompt_tokens + generated_tokens, self._price(prompt_tokens, generated_tokens)
        with self._lock:
            while True:
                self._read()
                if is_checked:
                    self._check(tokens, usd)
                if self._objects.put_if_absent(self._key(self._next), canonical([tokens, usd])):
                    return

    def _check(self, tokens: int, usd: float) -> None:
        limits = self._limits
        if limits.tokens and self._tokens + tokens > limits.tokens:
            message = f"{self._tokens} of {limits.tokens} tokens are spent; the next call may take {tokens}"
            raise BudgetSpentError(f"{message}. Raise budget.tokens and run again")
        if limits.usd and self._usd + usd > limits.usd:
            message = f"{self._usd:.4f} of {limits.usd} dollars are spent; the next call may cost {usd:.4f}"
            raise BudgetSpentError(f"{message}. Raise budget.usd and run again")

    def _price(self, prompt_tokens: int, generated_tokens: int) -> float:
        limits = self._limits
        cost = prompt_tokens * limits.usd_per_million_prompt
        return (cost + generated_tokens * limits.usd_per_million_generated) / MILLION

    def _read(self) -> None:
        """Take in the entries that others wrote since."""
        while True:
            key = self._key(self._next)
            try:
                tokens, usd = _entry(self._objects.get(key), key)
            except NotFoundError:
                return
            self._tokens, self._usd, self._next = self._tokens + tokens, self._usd + usd, self._next + 1

    def _key(self, number: int) -> str:
        return f"{self._folder}{number:09d}.json"


def _entry(content: bytes, key: str) -> tuple[int, float]:
    plain = from_json(b'{"entry":' + content + b"}", key)["entry"]
    return int(plain[0]), float(plain[1])
