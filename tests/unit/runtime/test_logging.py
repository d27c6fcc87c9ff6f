"""Log lines: shape, fields, and what never appears in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest

from eureka.runtime.logging import LEFT_OUT, MAX_VALUE_CHARS, configure_logging

logger = logging.getLogger("eureka.tests")


@pytest.fixture(autouse=True)
def _restore_logger() -> Iterator[None]:
    package = logging.getLogger("eureka")
    before = (list(package.handlers), package.level, package.propagate)
    yield
    package.handlers[:], package.propagate = before[0], before[2]
    package.setLevel(before[1])


def _json_line(stream: io.StringIO) -> dict[str, object]:
    return json.loads(stream.getvalue().splitlines()[-1])


def test_text_line_has_event_and_fields() -> None:
    stream = io.StringIO()
    configure_logging("INFO", "text", stream)
    logger.info("file_decoded", extra={"audio_seconds": 3.2, "path": "two words.wav"})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "INFO eureka.tests file_decoded audio_seconds=3.2" in line
    assert 'path="two words.wav"' in line


def test_json_line_has_event_and_fields() -> None:
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logger.info("file_decoded", extra={"audio_seconds": 3.2, "event": "other"})
    plain = _json_line(stream)
    assert (plain["event"], plain["audio_seconds"], plain["event_"]) == ("file_decoded", 3.2, "other")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_words_and_audio_never_reach_a_line(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging("INFO", log_format, stream)  # type: ignore[arg-type]  # parametrised literal
    fields = {"text": "my secret", "pcm": [0.98765], "block": np.full(3, 0.45678), "raw": b"RIFFxyz"}
    logger.info("window_ended", extra=fields)
    line = stream.getvalue()
    assert line.count(LEFT_OUT) == 4
    assert not any(word in line for word in ("secret", "98765", "45678", "RIFF"))


def test_line_feed_in_a_field_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    configure_logging("INFO", "text", stream)
    logger.info("file_failed", extra={"path": "a.wav\n12:00 ERROR forged"})
    assert stream.getvalue().count("\n") == 1


def test_long_value_is_cut() -> None:
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logger.info("file_failed", extra={"path": "x" * 10_000})
    assert len(str(_json_line(stream)["path"])) == MAX_VALUE_CHARS + 3


def test_level_hides_lower_events_and_second_call_replaces_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("INFO", "text", first)
    configure_logging("WARNING", "text", second)
    logger.info("file_decoded")
    logger.warning("file_failed")
    assert first.getvalue() == ""
    assert "file_failed" in second.getvalue()
    assert "file_decoded" not in second.getvalue()


def test_exception_brings_its_traceback() -> None:
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("file_failed")
    assert "ValueError: broken" in str(_json_line(stream)["traceback"])
