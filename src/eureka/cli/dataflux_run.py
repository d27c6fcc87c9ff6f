"""dataflux run: the items of a recipe in this process, or in several beside it."""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eureka.cli.dataflux_parts import FluxRun, Where, open_pipeline, plan_of, read_run, remember, run_of
from eureka.cli.dataflux_progress import FluxProgress
from eureka.cli.target import choose_target
from eureka.dataflux.dataset import assemble
from eureka.dataflux.roles import BudgetSpentError
from eureka.dataflux.runner import Share, run_items
from eureka.dataflux.stages import Outcome
from eureka.dataflux.status import status_of, status_text
from eureka.errors import EurekaError
from eureka.runtime.logging import configure_logging
from eureka.runtime.settings import Settings, load_settings

EXIT_STOPPED = 1
"""The run is not at its end: the budget is spent."""


def run(arguments: argparse.Namespace) -> int:
    """Run a recipe to its end, and print what came of it; 1 where its budget did not reach.

    Raises:
        EurekaError: recipe, data, model or store cannot be used.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    flux = read_run(arguments.recipe, settings)
    where = _where(arguments, settings, flux)
    count = arguments.processes or flux.recipe.num_processes
    stopped = _run_here(flux, settings, where, count, arguments.recipe)
    dataset = assemble(flux.records, plan_of(flux), flux.recipe, settings.data_folder)
    print(status_text(status_of(dataset, flux.ledger.spent)))
    if stopped is not None:
        print(f"eureka: {stopped.message} ({stopped.reason})", file=sys.stderr)
        return EXIT_STOPPED
    return 0


def _where(arguments: argparse.Namespace, settings: Settings, flux: FluxRun) -> Where:
    """Where the model answers; nothing is said where no role asks it."""
    roles = flux.recipe.roles
    used = (roles.captioner, roles.answerer_a, roles.answerer_b, roles.blind)
    if all(role.by != "gateway" for role in used):
        return Where()
    target = choose_target(arguments, settings)
    if target.told:
        print(f"eureka: {target.told}", file=sys.stderr)
    return Where(target.gateway, arguments.checkpoint)


def _run_here(
    flux: FluxRun, settings: Settings, where: Where, count: int, recipe: Path
) -> EurekaError | None:
    """All items, by this process and `count` - 1 children; the error of a budget that did not reach."""
    with open_pipeline(flux, settings, where) as (pipeline, _):
        remember(flux, recipe, pipeline.plan, settings)
        progress = FluxProgress(pipeline.plan.count, flux.ledger)
        with Helpers(flux, where, count) as helpers:
            try:
                run_items(
                    pipeline,
                    Share(0, count),
                    progress.saw,
                    helpers.hear_of(progress),
                    flux.recipe.num_threads,
                )
            except BudgetSpentError as error:
                return error
            finally:
                progress.clear()
    return None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a child tells of an item: its number, and what became of its questions."""

    number: int
    counts: Counter[str]


class Helpers:
    """Child processes that take shares of the items; a context manager that ends them.

    They are daemons, so that none outlives a parent that ends; a parent that is killed with -9 leaves
    children that notice and end, too.
    """

    def __init__(self, flux: FluxRun, where: Where, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._told: Any = context.Queue()
        self._children = [
            context.Process(
                target=help_run, args=(flux.text, where, Share(index, count), self._told), daemon=True
            )
            for index in range(1, count)
        ]

    def __enter__(self) -> Helpers:
        for process in self._children:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._children:
            process.terminate()
            process.join()
        self._told.close()
        self._told.cancel_join_thread()

    def hear_of(self, progress: FluxProgress) -> Callable[[], bool]:
        """A function that takes in what children told, and never stops the run."""

        def is_stopped() -> bool:
            while True:
                try:
                    seen = self._told.get_nowait()
                except queue.Empty:
                    return False
                progress.count(seen.number, seen.counts)

        return is_stopped


def help_run(text: str, where: Where, share: Share, told: Any) -> None:
    """What a child does: its share of the items, as long as its parent lives."""
    from eureka.runtime.threads import quiet_threads

    quiet_threads()
    settings = load_settings()
    flux = run_of(text, "recipe", settings)

    def tell(outcome: Outcome) -> None:
        told.put(Seen(outcome.item.number, counts_of(outcome)))

    try:
        with open_pipeline(flux, settings, where) as (pipeline, _):
            run_items(pipeline, share, tell, is_orphan, flux.recipe.num_threads)
    except BudgetSpentError:
        return  # the parent meets it, too


def is_orphan() -> bool:
    """Whether the parent of this process is gone."""
    process = multiprocessing.parent_process()
    return process is not None and not process.is_alive()


def counts_of(outcome: Outcome) -> Counter[str]:
    """What became of the questions of an item."""
    kept = sum(verdict.is_kept for verdict in outcome.verdicts)
    return Counter(questions=len(outcome.questions), answered=len(outcome.answered), accepted=kept)
