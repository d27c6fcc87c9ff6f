"""What an expression of Prometheus names: metrics with the labels that it asks for, by a small scanner."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_METRIC = re.compile(r"\b((?:eureka|nv|process)[a-z0-9_:]*)\b(?:\s*\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def metrics_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics of an expression, each with the labels that its braces name."""
    for name, matchers in _METRIC.findall(_emptied(expression)):
        yield name, set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers))


def groupings_in(expression: str) -> set[str]:
    """Labels that an expression groups or joins by."""
    found = _GROUPING.findall(_emptied(expression))
    return {label.strip() for labels in found for label in labels.split(",") if label.strip()}


def promtool(*arguments: str | Path, stdin: str = "") -> str:
    """Output of a successful promtool; skips without it, but fails where CI=true."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no promtool (CI=true: a skip is a failure)")
        pytest.skip("no promtool; apt-get install prometheus")
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _emptied(expression: str) -> str:
    """Without the contents of strings, which hold names, too."""
    return _STRING.sub('""', expression)
