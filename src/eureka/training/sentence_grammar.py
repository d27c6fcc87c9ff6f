"""A grammar of plain English: commands, simple sentences, and prose in the manner of old novels.

The rules are in grammar.txt. A rule is a list of alternatives; `{name}` inside one stands for a rule or for
a form of a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np

from eureka.training.word_lists import participle, past, plural, present, read_sections, word_lists

_SLOT = re.compile(r"\{(\w+)\}")


@cache
def grammar_rules(file_name: str = "grammar.txt") -> dict[str, tuple[str, ...]]:
    """Alternatives by rule; one that stands twice is drawn twice as often."""
    return {
        name: tuple(alternative.strip() for line in lines for alternative in line.split("|"))
        for name, lines in read_sections(file_name).items()
    }


_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def number_words(number: int) -> str:
    """A number from 0 to 999,999 in words, without hyphens and without `and`."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + ("" if number % 10 == 0 else " " + _SMALL[number % 10])
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = "" if number % size == 0 else " " + number_words(number % size)
    return f"{number_words(number // size)} {name}{rest}"


def _number(rng: np.random.Generator) -> str:
    top = (20, 100, 100, 1000, 10_000)[int(rng.integers(5))]
    words = number_words(int(rng.integers(top)))
    return words.replace("hundred ", "hundred and ") if rng.random() < 0.3 else words


def _one(words: tuple[str, ...]) -> Callable[[np.random.Generator], str]:
    return lambda rng: words[int(rng.integers(len(words)))]


def _forms() -> dict[str, Callable[[np.random.Generator], str]]:
    lists = word_lists()
    noun, verb = _one(lists.noun), _one(lists.verb)
    return {
        "noun": noun,
        "nouns": lambda rng: plural(noun(rng)),
        "verb": verb,
        "past": lambda rng: past(verb(rng)),
        "present": lambda rng: present(verb(rng)),
        "participle": lambda rng: participle(verb(rng)),
        "adjective": _one(lists.adjective),
        "adverb": _one(lists.adverb),
        "name": _one(lists.name),
        "word": _one(lists.every),
        "number": _number,
        "small": lambda rng: number_words(int(rng.integers(2, 60))),
        "percent": lambda rng: number_words(int(rng.integers(1, 21)) * 5),
        "degrees": lambda rng: number_words(int(rng.integers(12, 80))),
    }


class SentenceGrammar:
    """Draws texts from the rules."""

    def __init__(self) -> None:
        self._forms = _forms()

    def draw(self, rule: str, rng: np.random.Generator) -> str:
        """A lower-case text without punctuation for `rule`, a name in grammar.txt."""
        form = self._forms.get(rule)
        if form is not None:
            return form(rng)
        alternatives = grammar_rules()[rule]
        template = alternatives[int(rng.integers(len(alternatives)))]
        text = _SLOT.sub(lambda match: self.draw(match[1], rng), template)
        return re.sub(r"\ba (?=[aeio])", "an ", text)
