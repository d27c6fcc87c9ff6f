import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from eureka.audio.decode import decode_all
from eureka.audio.decode_pool import DecodePool
from eureka.errors import NotFoundError, WrongStateError
from eureka.jobs.plan import PlannedSource, PlannedSpan
from eureka.jobs.source import AudioOpener, OpenHere, OpenInPool, SpanFetcher
from eureka.types import SAMPLE_RATE_HZ, Pcm, Span
from tests.helpers.job_rig import WatchedStore
from tests.helpers.sounds import noise, wav_of
from tests.unit.audio.audio_files import encode

SOURCE = PlannedSource("audio", 1, "e", None)
SECOND = SAMPLE_RATE_HZ


@pytest.fixture
def store(tmp_path: Path) -> WatchedStore:
    return WatchedStore(tmp_path)


@pytest.fixture(scope="module", params=["here", "pool"])
def opener(request: pytest.FixtureRequest) -> Iterator[AudioOpener]:
    if request.param == "here":
        yield OpenHere()
        return
    with DecodePool(1) as pool:
        yield OpenInPool(pool)


def windows_of(pcm: Pcm, length: int = 5 * SECOND, overlap: int = 4_800) -> list[PlannedSpan]:
    windows = []
    for index, start in enumerate(range(0, len(pcm), length)):
        end = min(len(pcm), start + length)
        heard = Span(max(0, start - overlap), min(len(pcm), end + overlap))
        digest = hashlib.sha256(pcm[heard.start_sample : heard.end_sample].tobytes()).hexdigest()
        windows.append(PlannedSpan(index, Span(start, end), heard, digest))
    return windows


@pytest.mark.parametrize("name", ["wav", "mp3", "m4a", "aac", "webm", "opus"])
def test_fetch_gives_the_planned_samples_in_any_order(
    store: WatchedStore, opener: AudioOpener, name: str
) -> None:
    rate = 48_000 if name == "webm" else 16_000  # its container has no 16 kHz
    data = encode(name, noise(22.0 * rate / 16_000), rate)
    store.put("audio", data)
    pcm = decode_all(data)
    windows = windows_of(pcm)
    fetcher = SpanFetcher(store, opener)
    for window in [*windows, windows[3], windows[0], windows[2]]:
        span = window.heard
        assert np.array_equal(fetcher.fetch(SOURCE, window), pcm[span.start_sample : span.end_sample])
    fetcher.close()


def test_fetch_in_order_opens_the_audio_once(store: WatchedStore, opener: AudioOpener) -> None:
    pcm = decode_all(wav_of(noise(60.0)))
    store.put("audio", wav_of(noise(60.0)))
    fetcher = SpanFetcher(store, opener)
    for window in windows_of(pcm):
        fetcher.fetch(SOURCE, window)
    assert store.num_opened == 1
    fetcher.close()


def test_fetch_far_ahead_seeks_instead_of_decoding(store: WatchedStore) -> None:
    pcm = noise(200.0)
    store.put("audio", wav_of(pcm))
    asked: list[int] = []

    def opened(reader: BinaryIO, start_sample: int = 0) -> object:
        asked.append(start_sample)
        return OpenHere()(reader, start_sample)

    fetcher = SpanFetcher(store, opened)  # type: ignore[arg-type]
    windows = windows_of(decode_all(wav_of(pcm)))
    fetcher.fetch(SOURCE, windows[0]), fetcher.fetch(SOURCE, windows[-1])
    assert asked == [0, windows[-1].heard.start_sample]
    fetcher.close()


def test_fetch_of_other_audio_is_refused(store: WatchedStore, opener: AudioOpener) -> None:
    store.put("audio", wav_of(noise(10.0, seed=1)))
    fetcher = SpanFetcher(store, opener)
    with pytest.raises(WrongStateError) as caught:
        fetcher.fetch(SOURCE, windows_of(noise(10.0, seed=2))[0])
    assert caught.value.reason == "SOURCE_CHANGED"


def test_fetch_of_a_gone_object_is_not_found(store: WatchedStore, opener: AudioOpener) -> None:
    with pytest.raises(NotFoundError):
        SpanFetcher(store, opener).fetch(SOURCE, windows_of(noise(3.0))[0])


def test_fetch_holds_little_audio(store: WatchedStore) -> None:
    pcm = decode_all(wav_of(noise(120.0)))
    store.put("audio", wav_of(noise(120.0)))
    fetcher = SpanFetcher(store, OpenHere())
    for window in windows_of(pcm):
        fetcher.fetch(SOURCE, window)
        assert fetcher._open is not None
        assert sum(map(len, fetcher._open._kept)) < 5 * SECOND
    fetcher.close()
