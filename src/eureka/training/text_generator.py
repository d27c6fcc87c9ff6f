"""Texts for synthetic speech and for text injection, drawn by seed.

Whether a text is for tests only is decided by its own hash, before anything is trained: `draw_train`
never gives such a text, `draw_test` gives no other. Texts of one or two words are never set aside: they
are vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.orders import generate_order
from eureka.training.sentence_grammar import SentenceGrammar, grammar_rules
from eureka.training.word_lists import word_lists

WAKE_WORDS = ("alexa", "computer", "jarvis", "smart mirror", "snowboy", "view glass")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_HELD_OUT_OF = 25
"""One text in so many is for tests only."""

_SHARES: dict[str, float] = {
    **{"command": 0.08, "number": 0.04, "order": 0.07, "sentence": 0.08, "prose": 0.06},
    **{"read": 0.19, "salad": 0.14, "digits": 0.14, "word": 0.08, "near_miss": 0.07, "wake": 0.05},
}
"""Mix of the kinds in training."""

TEST_KINDS = ("command", "number", "order", "sentence", "prose", "salad", "digits")
"""Kinds whose texts can be set aside; read texts are left out, for the real clips speak them."""


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text as it is to be transcribed, its kind, and the slots when it is an order."""

    text: str
    kind: str
    slots: dict[str, str] | None = None


def is_held_out(text: str) -> bool:
    """Whether `text` may be used in tests only; three words or more, one in 25 by its hash."""
    if text.count(" ") < 2:
        return False
    digest = blake2b(text.encode(), digest_size=8, person=b"eureka-test").digest()
    return int.from_bytes(digest, "big") % _HELD_OUT_OF == 0


def read_texts(data_folder: Path | str) -> list[str]:
    """The distinct texts of speechocean762's training clips, in the order of the manifest.

    Raises:
        NotFoundError: there is no manifest.
    """
    manifest = Path(data_folder) / "manifest.jsonl"
    if not manifest.is_file():
        raise NotFoundError(f"{manifest} does not exist: name the folder of the data pack")
    with manifest.open(encoding="utf-8") as lines:
        clips = [json.loads(line) for line in lines]
    wanted = [c["text"] for c in clips if c["subset"] == "speechocean762" and c["split"] == "train"]
    return list(dict.fromkeys(wanted))


class TextGenerator:
    """Draws texts of all kinds.

    Args:
        texts: read sentences to draw from as they are; without any, the grammar's prose stands in.
        shares: how often training draws each kind, in any unit; the mix that the tests keep when None.

    Raises:
        InvalidInputError: `shares` names a kind that there is not, or gives no share above zero.
    """

    def __init__(self, texts: Sequence[str] = (), shares: Mapping[str, float] | None = None) -> None:
        self._kinds, self._shares = _checked(shares or _SHARES)
        self._read = [text for text in texts if not is_held_out(text)]
        self._grammar = SentenceGrammar()
        vocabulary = [word for text in self._read for word in text.split()]
        self.words = tuple(dict.fromkeys([*word_lists().every, *vocabulary]))
        self._makers: dict[str, Callable[[np.random.Generator], str]] = {
            "read": self._read_text,
            "salad": self._salad,
            "digits": _digits,
            "word": self._word,
            "near_miss": _near_miss,
            "wake": lambda rng: WAKE_WORDS[int(rng.integers(len(WAKE_WORDS)))],
            "number": lambda rng: self._grammar.draw("number_phrase", rng),
        }

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, str] | None]:
        """A text for training and, when it is an order, its slots."""
        drawn = self.draw_train(rng)
        return drawn.text, drawn.slots

    def draw_train(self, rng: np.random.Generator, kind: str | None = None) -> GeneratedText:
        """A text for training, of `kind` or of a kind drawn by its share."""
        kind = kind or str(rng.choice(self._kinds, p=self._shares))
        return self._draw_until(rng, kind, held_out=False)

    def draw_test(self, rng: np.random.Generator, kind: str | None = None) -> GeneratedText:
        """A text that no training uses, of `kind` or of one of the kinds with long texts."""
        kinds = list(TEST_KINDS)
        weights = np.array([_SHARES[name] for name in kinds])
        kind = kind or str(rng.choice(kinds, p=weights / weights.sum()))
        return self._draw_until(rng, kind, held_out=True)

    def _draw_until(self, rng: np.random.Generator, kind: str, *, held_out: bool) -> GeneratedText:
        while True:
            text, slots = generate_order(rng) if kind == "order" else (self._make(kind, rng), None)
            if is_held_out(text) == held_out:
                return GeneratedText(text, kind, slots)

    def _make(self, kind: str, rng: np.random.Generator) -> str:
        maker = self._makers.get(kind)
        return maker(rng) if maker else self._grammar.draw(kind, rng)

    def _read_text(self, rng: np.random.Generator) -> str:
        if not self._read:
            return self._grammar.draw("prose", rng)
        return self._read[int(rng.integers(len(self._read)))]

    def _word(self, rng: np.random.Generator) -> str:
        return self.words[int(rng.integers(len(self.words)))]

    def _salad(self, rng: np.random.Generator) -> str:
        return " ".join(self._word(rng) for _ in range(int(rng.integers(2, 9))))


def _checked(shares: Mapping[str, float]) -> tuple[list[str], NDArray[np.float64]]:
    """Kinds, and their shares summing to 1."""
    weights = np.array(list(shares.values()), dtype=np.float64)
    unknown = sorted(set(shares) - set(_SHARES))
    if unknown or (weights < 0).any() or not weights.sum() > 0:
        message = f"shares of texts must be positive and of kinds {sorted(_SHARES)}; unknown are {unknown}"
        raise InvalidInputError(message, reason="INVALID_TEXT_SHARES")
    return list(shares), weights / weights.sum()


def _digits(rng: np.random.Generator) -> str:
    """One to eight digits; one and four are the most frequent."""
    count = int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8], p=[0.22, 0.12, 0.14, 0.24, 0.1, 0.08, 0.06, 0.04]))
    return " ".join(DIGITS[d] for d in rng.integers(0, 10, count))


def _near_miss(rng: np.random.Generator) -> str:
    """Something close to a wake word or a label, alone or in a few words."""
    rules = grammar_rules("near_misses.txt")
    near, carriers = rules["near_miss"], rules["carrier"]
    first, second = (near[int(i)] for i in rng.integers(0, len(near), 2))
    carrier = carriers[int(rng.integers(len(carriers)))]
    return carrier.replace("{}", first, 1).replace("{}", second)


def with_punctuation(text: str, rng: np.random.Generator) -> str:
    """`text` as it is given to a speech engine: an ending that shapes the melody, now and then a pause."""
    words = text.split()
    pauses = 0.3 if rng.random() < 0.2 else 0.03
    spoken = [w + ("," if rng.random() < pauses else "") for w in words[:-1]] + words[-1:]
    return " ".join(spoken) + (".", ".", ".", "?", "!")[int(rng.integers(5))]
