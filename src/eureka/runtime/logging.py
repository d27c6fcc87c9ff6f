"""How log lines look, set up once in a root.

Any module logs through `logging.getLogger(__name__)`. The message is the event, a constant
snake_case phrase; what varies goes into `extra`:

    logger.info("file_decoded", extra={"audio_seconds": 3.2, "duration_seconds": 0.02})

Audio and words never reach a log: fields that could hold them are left out here, whoever logged
them. Lines go to stderr, since stdout holds results only.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import numpy as np

PRIVATE_FIELDS = frozenset(
    {"audio", "caption", "content", "label_text", "pcm", "prompt", "question", "text", "transcript"}
)
"""Names of fields that hold what somebody said or asked."""

LEFT_OUT = "<left out>"
MAX_VALUE_CHARS = 500
"""Longer values are cut: a log line is no place for a document."""

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(
    level: str = "WARNING", log_format: Literal["text", "json"] = "text", stream: TextIO | None = None
) -> None:
    """Send the package's events to `stream` (stderr when omitted); a second call replaces the first."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger = logging.getLogger("eureka")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def event_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields given through `extra`, private ones left out, long ones cut."""
    return {name: _safe(name, value) for name, value in vars(record).items() if name not in _STANDARD_FIELDS}


class TextFormatter(logging.Formatter):
    """`12:00:01.250 INFO eureka.audio.decode file_decoded audio_seconds=3.2`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on its own lines."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        words = [clock, record.levelname, record.name, record.getMessage()]
        words += [f"{name}={_shown(value)}" for name, value in event_fields(record).items()]
        return " ".join(words) + self._traceback(record)

    def _traceback(self, record: logging.LogRecord) -> str:
        return "\n" + self.formatException(record.exc_info) if record.exc_info else ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; a field named like one of ours gets an underscore behind it."""
        plain: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in event_fields(record).items():
            plain[f"{name}_" if name in plain else name] = value
        if record.exc_info:
            plain["traceback"] = self.formatException(record.exc_info)
        return json.dumps(plain, ensure_ascii=False)


def _safe(name: str, value: object) -> Any:
    if name in PRIVATE_FIELDS or isinstance(value, bytes | bytearray | memoryview | np.ndarray):
        return LEFT_OUT
    if value is None or isinstance(value, bool | int | float):
        return value
    shown = str(value)
    return shown if len(shown) <= MAX_VALUE_CHARS else shown[:MAX_VALUE_CHARS] + "..."


def _shown(value: object) -> str:
    shown = str(value)
    plain = shown.isprintable() and " " not in shown and shown != ""
    return shown if plain else json.dumps(shown, ensure_ascii=False)
