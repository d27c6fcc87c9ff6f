"""Every log call of the package names its event by a constant snake_case phrase, data as fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from eureka.runtime.logging import PRIVATE_FIELDS

METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


def _logger_names(tree: ast.Module) -> set[str]:
    """Names that the module gives to its loggers."""
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    made = [node for node in assigned if ast.unparse(node.value).startswith("logging.getLogger(")]
    return {ast.unparse(target) for node in made for target in node.targets}


def _log_calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = _logger_names(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in METHODS and ast.unparse(node.func.value) in names:
            yield node


def _is_event(node: ast.expr | None) -> bool:
    """A constant phrase, or the argument `event` of a function that logs for its callers."""
    if isinstance(node, ast.Name):
        return node.id == "event"
    return isinstance(node, ast.Constant) and EVENT.fullmatch(str(node.value)) is not None


def _fields(call: ast.Call) -> set[str]:
    extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    keys = extra.keys if isinstance(extra, ast.Dict) else []
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_log_calls_name_a_constant_event_and_no_private_field(repo_root: Path) -> None:
    for path in sorted((repo_root / "src").rglob("*.py")):
        for call in _log_calls(path):
            place = f"{path}:{call.lineno}"
            event = call.args[0] if len(call.args) == 1 else None
            assert _is_event(event), place
            assert not _fields(call) & PRIVATE_FIELDS, place
