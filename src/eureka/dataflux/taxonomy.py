"""The taxonomy: what there is to hear, in domains and groups, and what can be asked of it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from eureka.dataflux.records import Caption, CategoryPath
from eureka.training.sound_labels import all_phrases, is_music_phrase, is_speech_phrase, phrase_classes

DOMAINS = ("speech", "sound", "music", "mixed")
"""Values of L0."""

_SHARED_CLASS = frozenset({"music", "other", "speech"})
"""Event classes that say too little to make two phrases alike."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Groups of phrases, rules by domain, skills, and what is alike.

    Attributes:
        groups: phrase -> group.
        rules: domain -> rules, for prompts.
        titles: domain -> how it is written.
        skills: skill -> what it asks.
        alike: phrase -> phrases that may not be right beside wrong.
    """

    groups: Mapping[str, str]
    rules: Mapping[str, tuple[str, ...]]
    titles: Mapping[str, str]
    skills: Mapping[str, str]
    alike: Mapping[str, frozenset[str]]

    def path(self, caption: Caption, skill: str, about: str = "") -> CategoryPath:
        """Where a question about a caption belongs; `about` is the phrase that it turns on."""
        domain = domain_of(caption.phrases)
        thing = about or next(iter(caption.phrases), "silence")
        group = self.groups.get(thing, "") or ("what is said" if domain == "speech" else "scenes")
        return CategoryPath(domain, group, thing, skill)

    def hierarchy(self, path: CategoryPath) -> str:
        """The path with its rules, a line each, as prompts show it."""
        skill = self.skills.get(path.skill, path.skill)
        lines = [
            f"L0: {self.titles[path.domain]}",
            f"L1: {path.group}",
            f"L2: {path.thing}",
            f"L3: {path.skill} ({skill})",
            "Rules:",
            *(f"- {rule}" for rule in self.rules[path.domain]),
        ]
        return "\n".join(lines)

    def are_distinct(self, one: str, other: str) -> bool:
        """Whether ears and labels tell two phrases apart for sure."""
        if one == other or other in self.alike.get(one, frozenset()):
            return False
        if is_speech_phrase(one) and is_speech_phrase(other):
            return "person speaking" not in (one, other)
        shared = set(phrase_classes(one)) & set(phrase_classes(other))
        return not shared - _SHARED_CLASS

    def nearness(self, one: str, other: str) -> float:
        """How easily one is taken for the other, from what kind they are: 1, 2 or 4."""
        if self.groups.get(one) == self.groups.get(other):
            return 4.0
        return 2.0 if is_music_phrase(one) == is_music_phrase(other) else 1.0

    def absent(self, heard: Iterable[str]) -> list[str]:
        """Phrases that are certainly not heard where all of `heard` is."""
        present = tuple(heard)
        return [p for p in all_phrases() if all(self.are_distinct(p, other) for other in present)]


def domain_of(phrases: Iterable[str]) -> str:
    """Domain of what is heard: one kind, or mixed."""
    kinds = {"speech" if is_speech_phrase(p) else "music" if is_music_phrase(p) else "sound" for p in phrases}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "sound"


@cache
def load_taxonomy() -> Taxonomy:
    """The taxonomy that comes with the package."""
    text = (files("eureka.dataflux") / "assets" / "taxonomy.toml").read_text(encoding="utf-8")
    plain = tomllib.loads(text)
    domains = plain["domains"]
    groups = {
        phrase: group
        for domain in domains.values()
        for group, phrases in domain.get("groups", {}).items()
        for phrase in phrases
    }
    return Taxonomy(
        groups,
        {name: tuple(domain["rules"]) for name, domain in domains.items()},
        {name: domain["title"] for name, domain in domains.items()},
        plain["skills"],
        _both_ways(plain["alike"]),
    )


def _both_ways(alike: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one, others in alike.items():
        for other in others:
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
    return {phrase: frozenset(others) for phrase, others in found.items()}
