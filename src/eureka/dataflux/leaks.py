"""What belongs to evaluations, and must not come into training data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from eureka.dataflux.checks import question_key
from eureka.errors import InvalidInputError
from eureka.training.manifest import read_manifest


def evaluated_clips(data_folder: Path, leaks: Sequence[str]) -> Callable[[str], bool]:
    """Whether a clip of the data folder is one of an evaluation, by its bytes.

    Args:
        data_folder: its clips of other splits than train are evaluated on.
        leaks: further folders with manifest.jsonl; all their clips count.
    """
    forbidden = {_file_digest(data_folder / row.path) for row in read_manifest(data_folder, "dev")}
    for folder in (Path(name) for name in leaks if Path(name).is_dir()):
        forbidden |= {_file_digest(folder / row.path) for row in read_manifest(folder)}

    @cache
    def is_evaluated(path: str) -> bool:
        return _file_digest(data_folder / path) in forbidden

    return is_evaluated


def evaluated_questions(leaks: Sequence[str]) -> set[str]:
    """Questions of evaluation sets: JSON or JSON lines with `question` and `options` or `choices`.

    Raises:
        InvalidInputError: reason INVALID_LEAKS; a name is neither such a file nor a folder.
    """
    found: set[str] = set()
    for path in (Path(name) for name in leaks if not Path(name).is_dir()):
        try:
            rows = list(_rows(path.read_text(encoding="utf-8")))
            found |= {question_key(row["question"], row.get("options") or row["choices"]) for row in rows}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"checks.leaks: {path} is neither a folder with a manifest nor questions: {error!r}"
            raise InvalidInputError(message, reason="INVALID_LEAKS") from error
    return found


def _rows(text: str) -> Iterator[dict[str, Any]]:
    if text.lstrip().startswith("["):
        yield from json.loads(text)
        return
    yield from (json.loads(line) for line in text.splitlines() if line.strip())


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else f"missing {path}"
