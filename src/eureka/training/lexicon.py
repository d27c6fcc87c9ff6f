"""Pronunciations: words to phone ids by espeak-ng's American rules, each word asked for once."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from eureka.training.espeak import Espeak
from eureka.training.phones import PHONE_IDS

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*'?")
"""Letters and digits with inner apostrophes (`don't`), or one at the end (`dogs'`)."""

_SPOKEN = {"a": ("AX",), "the": ("DH", "AX")}
"""Words that espeak-ng reads as a letter or stresses when they stand alone."""


class Lexicon:
    """Pronounces any lower-case text.

    Args:
        cache_path: a JSON file that keeps pronunciations between runs; `save` writes it. With a cache that
            knows all words the engine is not needed.
        open_engine: gives the engine, asked for at the first new word.
    """

    def __init__(self, cache_path: Path | None = None, open_engine: Callable[[], Espeak] = Espeak) -> None:
        self._cache_path = cache_path
        self._open_engine = open_engine
        self._espeak: Espeak | None = None
        self._known = {word: tuple(PHONE_IDS[name] for name in names) for word, names in _SPOKEN.items()}
        if cache_path is not None and cache_path.is_file():
            stored = json.loads(cache_path.read_text(encoding="utf-8"))
            self._known |= {word: tuple(phones) for word, phones in stored.items()}

    def pronounce(self, text: str) -> list[list[int]]:
        """Phone ids of each word of `text`; marks between words and words without sound are passed over.

        Raises:
            NotFoundError: a word is new and espeak-ng is not installed.
        """
        words = [self._word(word) for word in _WORD.findall(text.lower())]
        return [list(word) for word in words if word]

    def save(self) -> None:
        """Write the cache, whole or not at all; does nothing without a path."""
        if self._cache_path is None:
            return
        self._cache_path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self._cache_path.parent, delete=False
        ) as draft:
            json.dump(self._known, draft, ensure_ascii=False, separators=(",", ":"))
        os.replace(draft.name, self._cache_path)

    def _word(self, word: str) -> tuple[int, ...]:
        phones = self._known.get(word)
        if phones is None:
            if self._espeak is None:
                self._espeak = self._open_engine()
            phones = self._known[word] = self._espeak.phones_of(word)
        return phones
