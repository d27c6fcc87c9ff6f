"""A job over a long recording: its ledger against the encoder's own counter, the order of its segments."""

from __future__ import annotations

import time
from itertools import groupby, pairwise
from typing import Any

import pytest

from eureka.types import SAMPLE_RATE_HZ, Pcm
from tests.helpers.gateway_stack import metrics_at
from tests.helpers.job_rig import check_tiles
from tests.helpers.job_stack import JobStack
from tests.helpers.long_recording import RAIN_SECONDS
from tests.helpers.sounds import wav_of

TOKEN_SECONDS = 0.08
"""The encoder counts whole audio tokens; a window may end within one."""


def encoder_seconds(stack: JobStack) -> float:
    """What the encoder's model counts at its own input, as its Triton shows it."""
    shown = metrics_at(stack.components()["triton"]["metrics"])
    return sum(value for name, value in shown.items() if name.startswith("eureka_audio_seconds_total"))


def heard(stack: JobStack, pcm: Pcm, seconds: float = 90.0) -> dict[str, Any]:
    """The result of a job over the samples, held against the encoder's counter.

    Args:
        stack: with nothing else to do.
        pcm: the recording.
        seconds: longest wait.
    """
    before, began = encoder_seconds(stack), time.monotonic()
    result = stack.result(stack.create(wav_of(pcm)), seconds)
    spent = time.monotonic() - began
    assert result["state"] == "SUCCEEDED", result["reasons"]
    check_tiles(result, len(pcm))
    windows = heard_windows(result)
    encoded, expected = encoder_seconds(stack) - before, sum(windows)
    print(
        f"{len(pcm) / SAMPLE_RATE_HZ:.0f} s in {spent:.0f} s: {len(windows)} windows, {expected:.3f} s in "
        f"the ledger, {encoded:.3f} s by the encoder's counter"
    )
    assert 0 <= encoded - expected <= TOKEN_SECONDS * len(windows)
    check_segments(result)
    return result


def heard_windows(result: dict[str, Any]) -> list[float]:
    """Seconds of each window that is not silent, as the ledger has them; a window may have several rows."""
    seconds = []
    for _, rows in groupby(result["coverage"], key=lambda row: row["window"]):
        first, *_, last = [*rows] * 2
        if first["ending"] != "SILENCE":
            seconds.append(last["heard_end"] - first["heard_start"])
    return seconds


def check_segments(result: dict[str, Any]) -> None:
    """Both tracks are there, in order, inside the audio; words follow each other, sounds may lie together."""
    tracks: dict[str, list[dict[str, Any]]] = {"transcript": [], "caption": []}
    for segment in result["segments"]:
        tracks[segment["track"]].append(segment)
    starts = [segment["start"] for segment in result["segments"]]
    assert starts == sorted(starts)
    for own in tracks.values():
        assert all(0 <= segment["start"] < segment["end"] for segment in own)
        assert own[-1]["end"] <= result["audio_seconds"] + 1e-6
    assert all(one["end"] <= other["start"] + 1e-6 for one, other in pairwise(tracks["transcript"]))


def check_rain(result: dict[str, Any]) -> None:
    """The last seconds of `with_rain` were given to the model."""
    start = result["audio_seconds"] - RAIN_SECONDS
    rows = [row for row in result["coverage"] if row["end"] > start + 0.1]
    assert {row["ending"] for row in rows} == {"STOP"}
    assert sum(row["end"] - max(row["start"], start) for row in rows) == pytest.approx(RAIN_SECONDS, abs=0.1)


def overlaps(result: dict[str, Any]) -> list[float]:
    """How much neighbours heard of each other, where they did."""
    pairs = [(one["heard_end"] - other["heard_start"]) for one, other in pairwise(result["coverage"])]
    return [overlap for overlap in pairs if overlap > 0]
