"""Texts for gluing: drawn from the grammar once a worker, with their phones and, for orders, slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.training.lexicon import Lexicon
from eureka.training.samples import Truth
from eureka.training.text_generator import TextGenerator
from eureka.training.text_injection import PhonePieces

NUM_TEXTS = 96_000
_FRAMES_PER_PHONE = 4.6
_EDGE_FRAMES = 18
_STACK = 4
_MAX_TOKENS = 130
_MAX_REFUSED = 1_000


class TextSource(Protocol):
    """Draws texts for training."""

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, str] | None]:
        """A text and, when it is an order, its slots."""


class InjectedTexts:
    """A list of texts and the pieces that can say them.

    Args:
        seed: draws the texts.
        pieces: pieces of cached outputs by phone.
        read: sentences that the grammar draws from as well.
        num_texts: how many.
        generator: draws texts and slots; the grammar over `read` when None.
        lexicon: pronounces them; espeak-ng when None.

    Attributes:
        num_tokens: expected audio tokens of each text.
        num_characters: characters of each text's answer.
    """

    def __init__(
        self,
        seed: int,
        pieces: PhonePieces,
        read: Sequence[str],
        num_texts: int = NUM_TEXTS,
        generator: TextSource | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self._pieces = pieces
        rng = np.random.default_rng((seed, 11))
        generator, lexicon = generator or TextGenerator(read), lexicon or Lexicon()
        self._truths: list[Truth] = []
        self._words: list[list[list[int]]] = []
        counts = []
        while len(self._truths) < num_texts:
            text, slots = generator.draw(rng)
            words = [list(word) for word in lexicon.pronounce(text)]
            frames = _EDGE_FRAMES + _FRAMES_PER_PHONE * sum(map(len, words))
            if frames / _STACK <= _MAX_TOKENS:
                self._truths.append(Truth(kind="injected", words=text, slots=slots or None))
                self._words.append(words)
                counts.append(frames / _STACK)
        self.num_tokens: NDArray[np.int64] = np.array(counts).astype(np.int64)
        self.num_characters = np.array([len(t.words or "") for t in self._truths])

    def draw(self, number: int, rng: np.random.Generator) -> tuple[list[tuple[int, int]], Truth]:
        """Ranges of cached frames that say text `number`, and its truth.

        A text that the pieces cannot say is replaced by another.

        Raises:
            InvalidInputError: text after text holds a phone that no aligned clip has.
        """
        for _ in range(_MAX_REFUSED):
            ranges = self._pieces.choose(self._words[number], rng)
            if ranges is not None:
                return ranges, self._truths[number]
            number = int(rng.integers(len(self._truths)))
        message = f"{_MAX_REFUSED} texts in a row hold phones that no cached clip has; cache aligned speech"
        raise InvalidInputError(message, reason="TEXTS_CANNOT_BE_SAID")
