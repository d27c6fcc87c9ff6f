"""Which option an answer in words means: by its letter where it gives one, else by the words of the option.

The rules, in order; the first that finds exactly one option decides, and nothing else is guessed:
1. the answer is a letter, alone or followed by a mark: `B`, `(b)`, `B.`, `B: the dog`;
2. it announces one: `the answer is B`, `option (B)`;
3. its first line is the text of an option;
4. it holds the words of exactly one option, those inside another, longer option not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from eureka.evaluation.metrics import normalise_text
from eureka.evaluation.suites.items import LETTERS

_AT_START = re.compile(r"^[\s\"'*]*(?:\(\s*([A-Za-z])\s*\)|([A-Z])\s*[.):,\]]|([A-Za-z])\s*[.*\"']*\s*$)")
_ANNOUNCED = re.compile(
    r"\b(?i:answer|option|choice)(?:\s+(?:is|would be|should be))?\s*:?\s*[*\"'(\[]*([A-Z])\b(?!')"
)


def parse_choice(answer: str, options: Sequence[str], *, first: str = "A") -> str | None:
    """Letter of the option that the answer means; None where it means none, or more than one.

    Args:
        answer: as generated.
        options: in the order of their letters; empty texts where only letters are known.
        first: letter of the first option.
    """
    start = LETTERS.index(first)
    known = LETTERS[start : start + len(options)]
    text = answer.strip()
    for letter in (_letter_at_start(text), _announced_letter(text)):
        if letter is not None and letter in known:
            return letter
    return _option_in_words(text, dict(zip(known, options, strict=True)))


def _letter_at_start(text: str) -> str | None:
    first_line = text.split("\n", 1)[0]
    match = _AT_START.match(first_line)
    return next(filter(None, match.groups())).upper() if match else None


def _announced_letter(text: str) -> str | None:
    letters = set(_ANNOUNCED.findall(text))
    return letters.pop() if len(letters) == 1 else None


def _option_in_words(text: str, options: dict[str, str]) -> str | None:
    """By the words themselves; options without any are never meant."""
    texts = {letter: words for letter, option in options.items() if (words := normalise_text(option))}
    first_line = normalise_text(text.split("\n", 1)[0])
    same = [letter for letter, words in texts.items() if words == first_line]
    if len(same) == 1:
        return same[0]
    said = f" {normalise_text(text)} "
    named = [letter for letter, words in texts.items() if _holds(said, words, texts.values())]
    return named[0] if len(named) == 1 else None


def _holds(said: str, words: str, all_options: Iterable[str]) -> bool:
    """Whether `words` stand in `said` outside of every longer option that holds them."""
    for other in all_options:
        if other != words and f" {words} " in f" {other} ":
            said = said.replace(f" {other} ", "  ")
    return f" {words} " in said
