"""What a suite is: where its data lie, what is asked, how answers count, what the paper reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation.counts import Counts
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.items import Inquiry, Item, Reply

Replies = Mapping[str, Reply]
"""Name of an inquiry -> what came back."""

Loader = Callable[[Path, str], list[Item]]
"""Folder of the data and split -> items, in a fixed order."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One score of a suite.

    Attributes:
        name: stable key, lower_snake.
        title: for people.
        count: what an item's replies contribute.
        higher_is_better: direction.
        unit: `%` shows the share in percent; else the number as it is, followed by the unit.
    """

    name: str
    title: str
    count: Callable[[Item, Replies], Counts]
    higher_is_better: bool = True
    unit: str = "%"


@dataclass(frozen=True, slots=True)
class PublicSuite:
    """A published benchmark.

    Attributes:
        name: as on the command line.
        title: of the benchmark.
        source: where a user gets the data.
        licence: of the data.
        layout: which files are expected below the data folder.
        splits: the first is the default.
        load: reads the data.
        ask: what is asked about an item.
        metrics: the first is the one that the table shows first.
        normalisation: what is done to texts before they are compared; empty where nothing is.
        paper: (split, metric) -> the paper's figures, in the metric's unit.
        said: what was said of an item, to be held against its reference; None where that tells nothing.
        judge_prompt: what a judge is asked about an item whose replies are there; None where nothing is
        judged.
    """

    name: str
    title: str
    source: str
    licence: str
    layout: str
    splits: tuple[str, ...]
    load: Loader
    ask: Callable[[Item], tuple[Inquiry, ...]]
    metrics: tuple[Metric, ...]
    normalisation: str = ""
    paper: Mapping[tuple[str, str], PaperFigure] = field(default_factory=dict)
    said: Callable[[Item, Replies], str] | None = None
    judge_prompt: Callable[[Item, Replies], str] | None = None

    def figure(self, split: str, metric: str) -> PaperFigure | None:
        """The paper's figures for a metric on a split."""
        return self.paper.get((split, metric))

    def items(self, folder: Path, split: str | None = None) -> tuple[str, list[Item]]:
        """The split that is meant, and its items.

        Raises:
            InvalidInputError: there is no such split; or a file is not in the published format (BAD_DATASET).
            NotFoundError: reason DATASET_NOT_FOUND; says where to get the data and how they must lie.
        """
        chosen = split or self.splits[0]
        if chosen not in self.splits:
            raise InvalidInputError(
                f"{self.name} has no split {chosen!r}; there are {', '.join(self.splits)}"
            )
        if not folder.is_dir():
            raise self._missing(f"there is no folder {folder}")
        try:
            items = self.load(folder, chosen)
        except FileNotFoundError as error:
            raise self._missing(f"there is no {error.filename}") from error
        except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
            message = (
                f"what lies in {folder} is not {self.title} as it was published ({self.layout}): {error!r}"
            )
            raise InvalidInputError(message, reason="BAD_DATASET") from error
        if not items:
            raise self._missing(f"{folder} holds no item of {chosen}")
        return chosen, items

    def _missing(self, what: str) -> NotFoundError:
        message = f"{what}. {self.title} comes from {self.source} ({self.licence}); "
        message += f"--data-folder names the folder with {self.layout}"
        return NotFoundError(message, reason="DATASET_NOT_FOUND")
