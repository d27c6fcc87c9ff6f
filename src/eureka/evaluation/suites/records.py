"""What a run has found out, item by item, in one file of JSON lines that a killed run goes on from.

The first line says which run it is: suite, split, what answers. While the run goes on, each item that was
answered is one more line; a line that a kill cut off is dropped. At the end the file is written anew in the
order of the items, each with what it contributes to every score, so that equal answers give equal bytes.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError
from eureka.evaluation.counts import Counts
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suites.items import Reply

FORMAT = "eureka-evaluation-items-1"
"""Stands in the first line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One item that was answered.

    Attributes:
        item_id: of the item.
        replies: name of an inquiry -> what came back.
        reference: what is right, for those who read the file.
        groups: that the item belongs to.
        scores: name of a metric -> what the item contributes; filled at the end of a run.
    """

    item_id: str
    replies: Mapping[str, Reply]
    reference: str = ""
    groups: tuple[str, ...] = ()
    scores: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def error(self) -> str | None:
        """Reason word of the first reply that failed."""
        return next((reply.error for reply in self.replies.values() if reply.error), None)

    def to_line(self) -> str:
        """One line of JSON."""
        plain: dict[str, Any] = {"id": self.item_id}
        if self.reference:
            plain["reference"] = self.reference
        if self.groups:
            plain["groups"] = list(self.groups)
        if self.replies:
            plain["replies"] = {name: _plain_reply(reply) for name, reply in self.replies.items()}
        if self.scores:
            plain["scores"] = {name: _plain_counts(counts) for name, counts in self.scores.items()}
        return json.dumps(plain, ensure_ascii=False) + "\n"

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Record:
        """Read back what `to_line` wrote."""
        return cls(
            item_id=plain["id"],
            replies={name: _reply(reply) for name, reply in plain.get("replies", {}).items()},
            reference=plain.get("reference", ""),
            groups=tuple(plain.get("groups", ())),
            scores={name: _counts(counts) for name, counts in plain.get("scores", {}).items()},
        )


def _plain_reply(reply: Reply) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": reply.text, "num_tokens": reply.num_tokens}
    if reply.events:
        plain["events"] = [[e.kind, e.start_seconds, e.end_seconds] for e in reply.events]
    if reply.error is not None:
        plain["error"] = reply.error
    return plain


def _reply(plain: Mapping[str, Any]) -> Reply:
    events = tuple(TimedEvent(*event) for event in plain.get("events", ()))
    return Reply(plain["text"], events, plain.get("error"), plain["num_tokens"])


def _plain_counts(counts: Counts) -> dict[str, list[float]]:
    return {name: list(pair) for name, pair in counts.items()}


def _counts(plain: Mapping[str, Any]) -> Counts:
    return {name: (float(pair[0]), float(pair[1])) for name, pair in plain.items()}


class RecordFile:
    """The records of one run; any thread may add to it.

    Args:
        path: of the file; its folder is made.
        run: what the run is, as plain JSON; a file of another run is refused.
        is_fresh: begin anew whatever lies there.

    Raises:
        InvalidInputError: reason OTHER_RUN: the file holds another run, or none.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], *, is_fresh: bool = False) -> None:
        self._path = path
        self._head = json.dumps({"format": FORMAT, **run}, ensure_ascii=False) + "\n"
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_fresh or not path.exists() or path.stat().st_size == 0:
            path.write_text(self._head, encoding="utf-8")
        self._known = self._read()

    @property
    def known(self) -> dict[str, Record]:
        """Item -> record of what was answered before this run."""
        return self._known

    def add(self, record: Record) -> None:
        """Append one record; it is in the file when this returns."""
        with self._lock, open(self._path, "a", encoding="utf-8") as file:
            file.write(record.to_line())

    def finish(self, records: Iterable[Record]) -> None:
        """Write the whole file anew, in this order; it is replaced as one."""
        fresh = self._path.with_name(self._path.name + ".new")
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(self._head)
            file.writelines(record.to_line() for record in records)
        os.replace(fresh, self._path)

    def _read(self) -> dict[str, Record]:
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        head, *lines = whole.decode("utf-8").split("\n")
        if head + "\n" != self._head:
            message = f"{self._path} holds another run, or the same one of another checkpoint or data; "
            raise InvalidInputError(
                message + "name another --output, or begin anew by --fresh", reason="OTHER_RUN"
            )
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        records = (Record.from_plain(json.loads(line)) for line in lines if line)
        return {record.item_id: record for record in records}


def items_path(report: Path) -> Path:
    """Where the records of a report lie: beside it."""
    return report.with_suffix(".items.jsonl")


def read_records(path: Path) -> dict[str, Record]:
    """Item -> record, of any run.

    Raises:
        InvalidInputError: the file holds no records.
    """
    head, *lines = path.read_text(encoding="utf-8").split("\n")
    if not head or json.loads(head).get("format") != FORMAT:
        raise InvalidInputError(f"{path} holds no records of format {FORMAT}")
    records = (Record.from_plain(json.loads(line)) for line in lines if line)
    return {record.item_id: record for record in records}


def read_row_counts(path: Path) -> dict[str, dict[str, Counts]]:
    """Row -> item -> what it contributes; a metric's rows of single groups are named METRIC [GROUP].

    Raises:
        InvalidInputError: the file holds no records.
    """
    rows: dict[str, dict[str, Counts]] = {}
    for record in read_records(path).values():
        for metric, counts in record.scores.items():
            for row in (metric, *(group_row(metric, group) for group in record.groups)):
                rows.setdefault(row, {})[record.item_id] = counts
    return rows


def group_row(metric: str, group: str) -> str:
    """Name of the row of a metric on one part of the set."""
    return f"{metric} [{group}]"
