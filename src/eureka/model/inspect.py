"""Looking into a checkpoint folder without loading its weights."""

from __future__ import annotations

from pathlib import Path

from eureka.model.load_plan import plan_load
from eureka.model.load_report import LoadReport


def inspect_checkpoint(folder: Path) -> LoadReport:
    """What a checkpoint holds, read from its config and file headers.

    Raises:
        InvalidCheckpointError: it would not load.
    """
    return plan_load(folder).report()
