"""The vocabulary of the text generator: words by part of speech and their regular or irregular forms."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

_VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class WordLists:
    """Words by part of speech, each list in the order of the file."""

    noun: tuple[str, ...]
    verb: tuple[str, ...]
    adjective: tuple[str, ...]
    adverb: tuple[str, ...]
    function: tuple[str, ...]
    name: tuple[str, ...]
    modern: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All words with their plurals and verb forms, each once."""
        forms = [form(verb) for verb in self.verb for form in (past, present, participle)]
        lists = (self.noun, self.verb, self.adjective, self.adverb, self.function, self.name, self.modern)
        words = [word for each in lists for word in each] + [plural(noun) for noun in self.noun] + forms
        return tuple(dict.fromkeys(words))


def read_sections(file_name: str) -> dict[str, list[str]]:
    """Lines of a text file of this package under their headings: `[name]`, then lines; # is a remark."""
    sections: dict[str, list[str]] = {}
    lines = sections.setdefault("", [])
    for line in (files("eureka.training") / file_name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


@cache
def word_lists() -> WordLists:
    """The lists of words.txt."""
    sections = read_sections("words.txt")
    parts = (tuple(" ".join(sections[part.name]).split()) for part in fields(WordLists))
    return WordLists(*parts)


@cache
def _irregular_pasts() -> dict[str, str]:
    pairs = " ".join(read_sections("irregular_verbs.txt")[""]).split()
    return dict(pair.split(":") for pair in pairs)


def plural(noun: str) -> str:
    """Plural by rule."""
    if noun.endswith(("s", "sh", "ch", "x", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def present(verb: str) -> str:
    """Third person singular."""
    if verb in ("do", "go"):
        return verb + "es"
    return plural(verb)


def past(verb: str) -> str:
    """Simple past."""
    return _irregular_pasts().get(verb) or _stem(verb) + ("d" if verb.endswith("e") else "ed")


def participle(verb: str) -> str:
    """The form in -ing."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def _stem(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "i"
    return _doubled(verb)


def _doubled(verb: str) -> str:
    """stop -> stopp: one short syllable that ends in consonant, vowel, consonant."""
    short = sum(letter in _VOWELS for letter in verb) == 1
    if short and len(verb) > 2 and verb[-1] not in "aeiouwxy" and verb[-2] in _VOWELS:
        return verb + verb[-1]
    return verb
