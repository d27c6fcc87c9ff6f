"""Texts as recognised speech is compared: Whisper's normalisers, as whisper-normalizer keeps them.

English counts word errors after Whisper's English normaliser, which writes numbers as digits, spells the
American way and drops fillers. Mandarin counts errors of characters after Whisper's basic normaliser, without
spaces: numerals stay as they are written, and so do traditional characters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version

from eureka.evaluation.metrics import edit_counts

PACKAGE = "whisper_normalizer"


@cache
def english_normaliser() -> Callable[[str], str]:
    """Whisper's English normaliser; read once."""
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise: Callable[[str], str] = EnglishTextNormalizer()
    return normalise


@cache
def basic_normaliser() -> Callable[[str], str]:
    """Whisper's normaliser of other languages."""
    from whisper_normalizer.basic import BasicTextNormalizer

    normalise: Callable[[str], str] = BasicTextNormalizer()
    return normalise


ENGLISH = f"Whisper's English normaliser ({PACKAGE} {version(PACKAGE)}), then words"
MANDARIN = f"Whisper's basic normaliser ({PACKAGE} {version(PACKAGE)}), then characters without spaces"


def word_error_counts(reference: str, heard: str) -> tuple[float, float]:
    """Word errors and reference words of English text."""
    normalise = english_normaliser()
    return edit_counts(normalise(reference).split(), normalise(heard).split())


def character_error_counts(reference: str, heard: str) -> tuple[float, float]:
    """Character errors and reference characters of Mandarin text."""
    normalise = basic_normaliser()
    sides = ["".join(normalise(text).split()) for text in (reference, heard)]
    return edit_counts(list(sides[0]), list(sides[1]))
