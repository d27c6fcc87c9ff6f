"""OutcomeWriter: results to stdout as soon as their form allows, failures of plain forms to stderr."""

from __future__ import annotations

import sys
from types import TracebackType

from eureka.pipeline.export import ExportFormat, FileFailure, Outcome, json_line, render, text_line

_AT_ONCE = (ExportFormat.TEXT, ExportFormat.JSONL)
"""Forms of which each file's part stands alone."""

_WITHOUT_ERRORS = (ExportFormat.TEXT, ExportFormat.SRT, ExportFormat.VTT)
"""Forms that have no place for a failure; a line on stderr tells of it."""


class OutcomeWriter:
    """Writes outcomes in order; forms that enclose all files are written on leaving the context.

    Args:
        form: of the output.
        num_files: how many outcomes will come; decides how one and several look.
    """

    def __init__(self, form: ExportFormat, num_files: int) -> None:
        self._form = form
        self._num_files = num_files
        self._kept: list[Outcome] = []

    def __enter__(self) -> OutcomeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._form not in _AT_ONCE:
            sys.stdout.write(render(self._kept, self._form))
        sys.stdout.flush()

    def write(self, outcome: Outcome) -> None:
        """Take the next outcome."""
        if isinstance(outcome, FileFailure) and self._form in _WITHOUT_ERRORS:
            print(f"eureka: {outcome.path}: {outcome.message} ({outcome.reason})", file=sys.stderr)
        elif self._form is ExportFormat.JSONL:
            self._write_now(json_line(outcome))
        elif self._form not in _AT_ONCE:
            self._kept.append(outcome)
        elif not isinstance(outcome, FileFailure):
            self._write_now(text_line(outcome, with_path=self._num_files > 1))

    def _write_now(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
