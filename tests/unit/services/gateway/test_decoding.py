"""Decoding for a call: what its deadline leaves is the most that a file may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.clients.blocking import BoundCall
from eureka.errors import AudioTooLongError
from eureka.types import CallContext
from services.gateway.decoding import RecordingDecoder
from services.gateway.requests import Recording
from tests.unit.audio.audio_files import silent_opus, tone, wav


@pytest.fixture(scope="module")
def decoder() -> Iterator[RecordingDecoder]:
    with DecodePool(1, DecodeLimits()) as pool:
        yield RecordingDecoder(pool, 1)


def call(seconds_left: float | None) -> BoundCall:
    deadline = None if seconds_left is None else time.monotonic() + seconds_left
    return BoundCall(asyncio.get_running_loop(), CallContext("a", deadline=deadline))


async def test_recording_may_take_what_the_deadline_leaves(decoder: RecordingDecoder) -> None:
    hour = Recording(silent_opus(3_600))
    with pytest.raises(AudioTooLongError) as caught:
        list(decoder.blocks(hour, None, 7_200.0, call(0.05)))
    assert caught.value.reason == "DECODE_TOO_SLOW"


@pytest.mark.parametrize("seconds_left", [None, 60.0])
async def test_recording_within_the_deadline_is_decoded(
    decoder: RecordingDecoder, seconds_left: float | None
) -> None:
    (pcm,) = decoder.blocks(Recording(wav(tone(0.3))), None, 60.0, call(seconds_left))
    assert len(pcm) == 4_800
