"""What is seen of a run: status, report, export."""

from __future__ import annotations

import argparse
import json
import sys

from eureka.cli.dataflux_parts import FluxRun, last_recipe, plan_of, read_run
from eureka.dataflux.dataset import Dataset, assemble
from eureka.dataflux.export import export_dataset
from eureka.dataflux.open_run import open_source
from eureka.dataflux.status import status_of, status_text
from eureka.errors import WrongStateError
from eureka.runtime.settings import Settings, load_settings


def show_status(arguments: argparse.Namespace) -> int:
    """Print how far the run is."""
    settings = load_settings()
    run = _named(arguments, settings)
    status = status_of(_assembled(run, settings), run.ledger.spent)
    print(json.dumps(status) if arguments.format == "json" else status_text(status))
    return 0


def write_export(arguments: argparse.Namespace) -> int:
    """Write the data set, and print where.

    Raises:
        WrongStateError: reason RUN_NOT_COMPLETE; half a run would be another data set.
    """
    settings = load_settings()
    run = _named(arguments, settings)
    dataset = _assembled(run, settings, has_audio=True)
    if not dataset.is_complete:
        done = sum(outcome.is_done for outcome in dataset.outcomes.values())
        message = f"{done} of {dataset.num_items} items are done; run the recipe to its end first"
        raise WrongStateError(message, reason="RUN_NOT_COMPLETE")
    folder = arguments.output or run.folder / "export"
    for path in export_dataset(dataset, run.recipe, folder):
        print(path)
    return 0


def write_report(arguments: argparse.Namespace) -> int:
    """Write the page, and print where."""
    from eureka.dataflux.report import report_page

    settings = load_settings()
    run = _named(arguments, settings)
    dataset = _assembled(run, settings, has_audio=True)
    path = arguments.output or run.folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    status = status_of(dataset, run.ledger.spent)
    path.write_text(report_page(dataset, run.recipe, status, arguments.sample), encoding="utf-8")
    print(path)
    return 0


def _named(arguments: argparse.Namespace, settings: Settings) -> FluxRun:
    recipe = arguments.recipe
    if recipe is None:
        recipe = last_recipe(settings)
        print(f"eureka: the last run, {recipe}", file=sys.stderr)
    return read_run(recipe, settings)


def _assembled(run: FluxRun, settings: Settings, has_audio: bool = False) -> Dataset:
    load = open_source(run.recipe, settings.data_folder)[0].load if has_audio else None
    return assemble(run.records, plan_of(run), run.recipe, settings.data_folder, load)
