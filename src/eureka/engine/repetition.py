"""Detection of a decoder that says the same thing for ever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class RepetitionRule:
    """When repeated output counts as a loop.

    A pattern of p <= `max_period` tokens is a loop when it stands at the end of the output at least
    `min_repeats` times in a row and covers at least `min_tokens`. The defaults let "five five five
    five" and a chorus pass and stop a real loop within 24 to 192 tokens.
    """

    max_period: int = 48
    min_repeats: int = 4
    min_tokens: int = 24


class RepetitionDetector:
    """Follows one output token by token; constant time and memory a token."""

    def __init__(self, rule: RepetitionRule) -> None:
        self._rule = rule
        self._recent = np.full(rule.max_period, -1, dtype=np.int64)  # latest token first
        self._matches = np.zeros(rule.max_period, dtype=np.int64)  # [p-1]: run of ids[t] == ids[t-p]
        periods = np.arange(1, rule.max_period + 1)
        covered = np.maximum(periods * rule.min_repeats, rule.min_tokens)
        self._needed = covered - periods  # the first copy matches nothing

    def push(self, token_id: int) -> bool:
        """Take the next token; True once the output ends in a loop."""
        self._matches = np.where(self._recent == token_id, self._matches + 1, 0)
        self._recent[1:] = self._recent[:-1].copy()
        self._recent[0] = token_id
        return bool((self._matches >= self._needed).any())
