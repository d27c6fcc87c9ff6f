"""What is taken out of the accepted questions, and why; pure functions over the whole set.

LEAK             a clip of it, or the question, belongs to an evaluation
NEAR_DUPLICATE   the same is asked about the same clips
BLIND            it can be answered without the audio
QUOTA            its category has enough
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rapidfuzz import fuzz

from eureka.dataflux.records import Answer, Question, Verdict, digest_of
from eureka.dataflux.solve import NUMBERS

HABIT_STEP = 0.1
"""Part of what is above chance that is taken out before habits are looked at again."""

ORDERED_SKILLS = ("count", "when", "how-long")
"""Their options are given as they grow, and stay so."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An accepted question.

    Attributes:
        item: number of its item.
        audio_id: of the item.
        parts: paths of the clips that are heard.
        question: with its options.
        option: index of the winning answer.
        verdict: why it was accepted.
        blind: what was chosen without the audio.
        seed: of the run.
    """

    item: int
    audio_id: str
    parts: tuple[str, ...]
    question: Question
    option: int
    verdict: Verdict
    blind: Answer | None
    seed: int

    @property
    def id(self) -> str:
        """Name of the question, drawn from its contents."""
        return digest_of(self.seed, self.audio_id, self.question.to_plain())

    @property
    def answer(self) -> str:
        """The winning option."""
        return self.question.options[self.option]


@dataclass(frozen=True, slots=True)
class Sifted:
    """What a check keeps, in order, and what it takes out."""

    kept: list[Candidate]
    dropped: list[Candidate]


def without_leaks(
    candidates: Sequence[Candidate], is_evaluated: Callable[[str], bool], evaluated: Iterable[str]
) -> Sifted:
    """Without questions about clips of an evaluation, and without the questions of one.

    Args:
        candidates: accepted questions.
        is_evaluated: whether a clip, by path, is one of an evaluation.
        evaluated: questions of evaluations, as `question_key` names them.
    """
    known = set(evaluated)
    leaks = [
        any(is_evaluated(path) for path in c.parts)
        or question_key(c.question.text, c.question.options) in known
        for c in candidates
    ]
    return _split(candidates, leaks)


def question_key(text: str, options: Iterable[str]) -> str:
    """A question by its words: case, punctuation and order of the options do not count."""
    return "|".join([_plain(text), *sorted(_plain(option) for option in options)])


def without_near_duplicates(candidates: Sequence[Candidate], similarity: float) -> Sifted:
    """Of questions about the same clips with the same answer and nearly the same words only the first."""
    seen: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    doubles = []
    for candidate in candidates:
        question = candidate.question
        group = seen[(candidate.parts, candidate.answer)]
        text = _plain(f"{question.text} {question.about}")
        is_double = any(fuzz.token_sort_ratio(text, other) >= similarity for other in group)
        doubles.append(is_double)
        if not is_double:
            group.append(text)
    return _split(candidates, doubles)


def without_blind(candidates: Sequence[Candidate]) -> Sifted:
    """Skill by skill, until neither who heard nothing nor the habits of the set itself beat chance.

    Taken out are those that are answered without the audio, the surest first, and no more than it takes.
    """
    by_skill: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_skill[candidate.question.path.skill].append(candidate)
    kept: set[str] = set()
    for group in by_skill.values():
        rest = _at_chance(group, _heard_nothing)
        while True:  # taking some out changes the habits of the rest, so only a part goes at a time
            rest, before = _at_chance(rest, _habits(rest), HABIT_STEP), len(rest)
            if len(rest) == before:
                break
        kept |= {candidate.id for candidate in _at_chance(rest, _heard_nothing)}
    return _split(candidates, [candidate.id not in kept for candidate in candidates])


def within_quotas(candidates: Sequence[Candidate], max_questions: int, max_share: float) -> Sifted:
    """At most so many questions, and of each category at most a share of them; the first ones stay."""
    limit = max_questions or len(candidates)
    of_category = max(1, int(limit * max_share))
    counts: Counter[str] = Counter()
    over = []
    for candidate in candidates:
        category = candidate.question.path.category
        is_over = counts[category] >= of_category or counts.total() >= limit
        counts[category] += not is_over
        over.append(is_over)
    return _split(candidates, over)


def balanced(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The right option at every place equally often; numbers and times stay in their order."""
    turns: Counter[int] = Counter()
    placed = {}
    for candidate in sorted(candidates, key=lambda c: c.id):
        question = candidate.question
        if question.path.skill in ORDERED_SKILLS:
            continue
        count = len(question.options)
        place = turns[count] % count
        turns[count] += 1
        others = [text for index, text in enumerate(question.options) if index != candidate.option]
        options = (*others[:place], candidate.answer, *others[place:])
        placed[candidate.id] = replace(candidate, question=replace(question, options=options), option=place)
    return [placed.get(candidate.id, candidate) for candidate in candidates]


_Guess = Callable[[Candidate], tuple[int | None, float]]
"""The option that is guessed without the audio, and how surely."""


def _heard_nothing(candidate: Candidate) -> tuple[int | None, float]:
    blind = candidate.blind
    return (None, 0.0) if blind is None else (blind.option, blind.confidence or 0.0)


def _habits(candidates: Sequence[Candidate]) -> _Guess:
    """Guesses what is right unusually often where it stands to choose, the question itself left out."""
    offered: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for candidate in candidates:
        offered.update(_features(candidate))
        right[_features(candidate)[candidate.option]] += 1

    def guess(candidate: Candidate) -> tuple[int | None, float]:
        features = _features(candidate)
        rates = []
        for index, feature in enumerate(features):
            others = right[feature] - (index == candidate.option)
            rates.append((others + 0.5) / (offered[feature] - 1 + 0.5 * len(features)))
        best = max(range(len(rates)), key=lambda index: rates[index])
        return best, rates[best]

    return guess


def _features(candidate: Candidate) -> list[str]:
    """What each option is told by: its place where options grow, else its words."""
    question = candidate.question
    if question.path.skill in ORDERED_SKILLS and question.options[0] not in NUMBERS:
        return [f"place {index} of {len(question.options)}" for index in range(len(question.options))]
    return [f"{question.about}|{option}" for option in question.options]


def _at_chance(candidates: Sequence[Candidate], guess: _Guess, step: float = 1.0) -> list[Candidate]:
    """Without the surest right guesses, so many that the rest is guessed no better than by chance.

    With a step below 1 only that part of them goes, one at least.
    """
    guessed = [guess(candidate) for candidate in candidates]
    hits = [
        (-sure, candidate.id, index)
        for index, (candidate, (option, sure)) in enumerate(zip(candidates, guessed, strict=True))
        if option == candidate.option
    ]
    chance = sum(1 / len(candidate.question.options) for candidate in candidates)
    dropped: set[int] = set()
    num_hits = len(hits)
    most = max(1, math.ceil((num_hits - chance) * step)) if step < 1 else len(hits)
    for _, _, index in sorted(hits)[:most]:
        if num_hits <= chance:
            break
        dropped.add(index)
        num_hits -= 1
        chance -= 1 / len(candidates[index].question.options)
    return [candidate for index, candidate in enumerate(candidates) if index not in dropped]


def _split(candidates: Sequence[Candidate], is_out: Sequence[bool]) -> Sifted:
    pairs = list(zip(candidates, is_out, strict=True))
    return Sifted([c for c, out in pairs if not out], [c for c, out in pairs if out])


def _plain(text: str) -> str:
    spaced = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return " ".join(spaced.split())
