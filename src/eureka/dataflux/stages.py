"""One item through all stages: caption, questions, answers, verdicts; each a record that is written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eureka.dataflux.items import Item, ItemSource
from eureka.dataflux.records import Answered, Caption, Question, Stage, Verdict, digest_of
from eureka.dataflux.roles import DiscardedError, Roles
from eureka.dataflux.store import RecordStore
from eureka.types import Pcm

ITEMS = "items"
"""Where the records of items lie: what they are, without their audio."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What the names of all records of a run follow from.

    Attributes:
        count: items.
        source: digest of what the items depend on.
        identities: stage -> identity of its roles.
    """

    count: int
    source: str
    identities: Mapping[str, Any]

    @classmethod
    def of(cls, source: ItemSource, roles: Roles) -> RunPlan:
        """The plan of a source and roles."""
        blind = None if roles.blind is None else roles.blind.identity
        identities = {
            Stage.CAPTION.value: roles.captioner.identity,
            Stage.QUESTIONS.value: roles.writer.identity,
            Stage.ANSWERS.value: [roles.first.identity, roles.second.identity, blind],
            Stage.VERDICTS.value: roles.judge.identity,
        }
        return cls(len(source), digest_of(source.identity), identities)

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return {"count": self.count, "source": self.source, "identities": dict(self.identities)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> RunPlan:
        """Read the plain object."""
        return cls(plain["count"], plain["source"], plain["identities"])

    def item_digest(self, number: int) -> str:
        """Name of an item's record."""
        return digest_of("item", self.source, number)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item so far.

    Attributes:
        item: the item.
        caption: None where there is none yet, or none to be had.
        questions: as written; empty before, and where nothing could be asked.
        answered: questions with answers, in order; empty before.
        verdicts: one a question; empty before.
        discarded: stage, reason word and sentence where a stage gave up.
        is_done: all stages are through, or one gave up.
    """

    item: Item
    caption: Caption | None = None
    questions: tuple[Question, ...] = ()
    answered: tuple[Answered, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    discarded: tuple[Stage, str, str] | None = None
    is_done: bool = False


class ItemPipeline:
    """Takes items through the stages.

    Args:
        source: gives the items.
        roles: who does what.
        records: where everything is written.
    """

    def __init__(self, source: ItemSource, roles: Roles, records: RecordStore) -> None:
        self._source, self._roles, self._records = source, roles, records
        self.plan = RunPlan.of(source, roles)

    def run(self, number: int) -> Outcome:
        """The outcome of item `number`, everything done that was not.

        Raises:
            BudgetSpentError: no call fits the budget.
            EurekaError: a part is away.
        """
        item = self._item(number)
        steps = _Steps(self._records, self.plan, item)
        return _walk(item, steps, self._roles)

    def _item(self, number: int) -> Item:
        """The item, its audio loaded only when it is needed."""
        made: list[Item] = []

        def make() -> dict[str, Any]:
            made.append(self._source.open(number))
            return made[0].to_plain()

        plain = self._records.once(ITEMS, self.plan.item_digest(number), make)
        return made[0] if made else Item.of_plain(plain, lambda: self._source.load(number))


def look(
    records: RecordStore, plan: RunPlan, number: int, load: Callable[[int], Pcm] | None = None
) -> Outcome | None:
    """The outcome of item `number` as far as it is written; None where not even the item is.

    Args:
        records: of the run.
        plan: of the run.
        number: of the item.
        load: gives its audio; without it the item's audio cannot be asked for.
    """
    plain = records.find(ITEMS, plan.item_digest(number))
    if plain is None:
        return None
    item = Item.of_plain(plain, lambda: _no_audio() if load is None else load(number))
    return _walk(item, _Steps(records, plan, item), None)


def _no_audio() -> Pcm:
    raise AssertionError("this look has no audio")


class _Steps:
    """The records of one item: the name of each follows from all before it."""

    def __init__(self, records: RecordStore, plan: RunPlan, item: Item) -> None:
        self._records, self._plan = records, plan
        self._digest = digest_of(item.to_plain())
        self.discarded: tuple[Stage, str, str] | None = None

    def take(self, stage: Stage, make: Callable[[], dict[str, Any]] | None) -> dict[str, Any] | None:
        """The record of a stage; None where it is not there and nobody makes it, or the stage gave up."""
        digest = digest_of(stage.value, self._plan.identities[stage.value], self._digest)
        plain = (
            self._records.find(stage.value, digest)
            if make is None
            else self._records.once(stage.value, digest, lambda: _made(make))
        )
        if plain is None:
            return None
        self._digest = digest_of(digest, plain)
        if "discarded" in plain:
            self.discarded = (stage, plain["discarded"], plain["why"])
            return None
        return plain


def _made(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make()
    except DiscardedError as error:
        return {"discarded": error.reason, "why": error.message}


def _walk(item: Item, steps: _Steps, roles: Roles | None) -> Outcome:
    """From stage to stage, as far as there are records; with roles, to the end."""

    def ended(so_far: Outcome) -> Outcome:
        return replace(so_far, discarded=steps.discarded, is_done=steps.discarded is not None)

    captioned = steps.take(
        Stage.CAPTION, None if roles is None else lambda: roles.captioner.caption(item).to_plain()
    )
    if captioned is None:
        return ended(Outcome(item))
    caption = Caption.of_plain(captioned)
    written = steps.take(Stage.QUESTIONS, None if roles is None else lambda: _write(roles, item, caption))
    if written is None:
        return ended(Outcome(item, caption))
    questions = tuple(Question.of_plain(plain) for plain in written["questions"])
    if not questions:
        return Outcome(item, caption, is_done=True)
    given = steps.take(Stage.ANSWERS, None if roles is None else lambda: _ask(roles, item, questions))
    if given is None:
        return ended(Outcome(item, caption, questions))
    pairs = zip(questions, given["answers"], strict=True)
    answered = tuple(Answered.of_plain(question, plain) for question, plain in pairs)
    judged = steps.take(
        Stage.VERDICTS, None if roles is None else lambda: _judge(roles, item, caption, answered)
    )
    if judged is None:
        return ended(Outcome(item, caption, questions, answered))
    verdicts = tuple(Verdict.of_plain(plain) for plain in judged["verdicts"])
    return Outcome(item, caption, questions, answered, verdicts, is_done=True)


def _write(roles: Roles, item: Item, caption: Caption) -> dict[str, Any]:
    return {"questions": [question.to_plain() for question in roles.writer.write(item, caption)]}


def _ask(roles: Roles, item: Item, questions: tuple[Question, ...]) -> dict[str, Any]:
    first, second = roles.first.answer(item, questions), roles.second.answer(item, questions)
    blind = [None] * len(questions) if roles.blind is None else roles.blind.answer(item, questions)
    rows = zip(questions, first, second, blind, strict=True)
    return {"answers": [Answered(*row).to_plain() for row in rows]}


def _judge(roles: Roles, item: Item, caption: Caption, answered: tuple[Answered, ...]) -> dict[str, Any]:
    return {"verdicts": [v.to_plain() for v in roles.judge.judge(item, caption, answered)]}
