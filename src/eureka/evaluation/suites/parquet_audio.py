"""Recordings in the column `audio` of a parquet file, read when they are heard: such files have gigabytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUDIO = "audio"
"""Column of structs with the bytes of a file."""

GROUPS_KEPT = 2
"""Row groups held at once; items are asked about in order, so a group is read once or twice."""


@dataclass(frozen=True, slots=True)
class AudioTable:
    """The audio column of one file, for any number of threads; tables of one file are equal."""

    path: Path
    _groups: OrderedDict[int, Any] = field(default_factory=OrderedDict, compare=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def content(self, group: int, row: int) -> bytes:
        """The bytes of the file in a row of a row group."""
        with self._lock:
            content: bytes = self._column(group)[row].as_py()["bytes"]
        return content

    def _column(self, group: int) -> Any:
        from pyarrow import parquet

        if group not in self._groups:
            with parquet.ParquetFile(self.path) as file:
                self._groups[group] = file.read_row_group(group, columns=[AUDIO]).column(AUDIO)
            while len(self._groups) > GROUPS_KEPT:
                self._groups.popitem(last=False)
        return self._groups[group]


@dataclass(frozen=True, slots=True)
class ParquetAudio:
    """One recording of a table."""

    table: AudioTable
    group: int
    row: int

    def content(self) -> bytes:
        """The bytes of its file."""
        return self.table.content(self.group, self.row)


def rows_with_audio(path: Path) -> Iterator[tuple[dict[str, Any], ParquetAudio]]:
    """Rows without their audio, and where it is."""
    from pyarrow import parquet

    table = AudioTable(path)
    with parquet.ParquetFile(path) as file:
        columns = [name for name in file.schema_arrow.names if name != AUDIO]
        for group in range(file.num_row_groups):
            for row, plain in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                yield plain, ParquetAudio(table, group, row)
