"""The five roles as Protocols; grounded, gateway and openai implement them, a recipe chooses.

`identity` says everything that a role's output depends on beside its input (implementation, model, prompt,
settings), as plain JSON: it goes into the names of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eureka.dataflux.items import Item
from eureka.dataflux.records import Answer, Answered, Caption, Question, Verdict
from eureka.errors import EurekaError, QueueFullError


class DiscardedError(EurekaError):
    """A role gave nothing usable for one item, twice; the item goes on without it, the reason is kept."""

    code = "FAILED_PRECONDITION"
    default_reason = "DISCARDED"


class BudgetSpentError(QueueFullError):
    """The budget has no room for the next call: the run ends cleanly, and goes on with a larger one."""

    default_reason = "BUDGET_SPENT"
    is_retryable = False


class Role(Protocol):
    """What all roles have."""

    @property
    def identity(self) -> Any:
        """All that the output depends on beside the input, as plain JSON."""
        ...


class Captioner(Role, Protocol):
    """Hears an item and describes it."""

    def caption(self, item: Item) -> Caption:
        """The description.

        Raises:
            DiscardedError: there is none to be had.
            BudgetSpentError: no call fits the budget.
        """
        ...


class Writer(Role, Protocol):
    """Writes questions about a caption, without hearing."""

    def write(self, item: Item, caption: Caption) -> list[Question]:
        """Distinct questions; none where the caption does not fit the category that is asked for.

        Raises: as `Captioner.caption`.
        """
        ...


class Answerer(Role, Protocol):
    """Hears an item and answers questions about it."""

    def answer(self, item: Item, questions: Sequence[Question]) -> list[Answer]:
        """An answer a question, in order.

        Raises: as `Captioner.caption`.
        """
        ...


class Judge(Role, Protocol):
    """Decides which answer holds, without hearing."""

    def judge(self, item: Item, caption: Caption, answered: Sequence[Answered]) -> list[Verdict]:
        """A verdict a question, in order.

        Raises: as `Captioner.caption`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Who does what in a run; `blind` answers without the audio, None asks nobody."""

    captioner: Captioner
    writer: Writer
    first: Answerer
    second: Answerer
    judge: Judge
    blind: Answerer | None = None
