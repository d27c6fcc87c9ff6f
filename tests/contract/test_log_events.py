"""Every log call of the package names its event by a constant snake_case phrase, data as fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from eureka.runtime.logging import PRIVATE_FIELDS

METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


def _log_calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if node.func.attr in METHODS and isinstance(owner, ast.Name) and owner.id in ("logger", "_logger"):
            yield node


def _fields(call: ast.Call) -> set[str]:
    extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    keys = extra.keys if isinstance(extra, ast.Dict) else []
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_log_calls_name_a_constant_event_and_no_private_field(repo_root: Path) -> None:
    for path in sorted((repo_root / "src").rglob("*.py")):
        for call in _log_calls(path):
            place = f"{path}:{call.lineno}"
            event = call.args[0] if len(call.args) == 1 else None
            assert isinstance(event, ast.Constant) and EVENT.fullmatch(str(event.value)), place
            assert not _fields(call) & PRIVATE_FIELDS, place
