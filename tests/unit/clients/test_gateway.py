"""GatewayClient and AsyncGatewayClient against a real server of the public API."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eureka.clients.gateway import ChatTurn, GatewayClient, Recording, RetryPolicy, SamplingParams, Upload
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.errors import (
    AudioTooLongError,
    CancelledError,
    InvalidInputError,
    NotFoundError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import Ending, Task
from tests.helpers.small_gateway import SmallGateway
from tests.helpers.sounds import noise, write_wav

QUICK = RetryPolicy(max_attempts=3, first_pause_seconds=0.01)


@pytest.fixture
def client(target: str, gateway: SmallGateway) -> Iterator[GatewayClient]:
    with GatewayClient(target, retry=QUICK, timeout_seconds=60) as client:
        yield client


@pytest.fixture
async def async_client(target: str, gateway: SmallGateway) -> AsyncIterator[AsyncGatewayClient]:
    async with AsyncGatewayClient(target, retry=QUICK, timeout_seconds=60) as client:
        yield client


def away() -> StageUnavailableError:
    return StageUnavailableError("the decoder is away")


def test_transcribe_takes_path_bytes_file_and_upload_alike(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    upload = client.upload(clip)
    with clip.open("rb") as file:
        heard = [client.transcribe(audio) for audio in (clip, str(clip), clip.read_bytes(), file, upload)]
        assert not file.closed
    assert [each.path for each in heard] == [str(clip), str(clip), "", str(clip), upload.name]
    assert len({each.text for each in heard}) == 1 and heard[0].text
    assert heard[0].audio_seconds == 1.5 and heard[0].model == "tiny" and heard[0].task is Task.TRANSCRIBE
    assert heard[0].coverage[-1].owned.end_sample == 24_000
    assert set(heard[0].usage.seconds) >= {"decode", "embed", "generate"}
    assert gateway.methods().count("List") == 1 and gateway.methods().count("Upload") == 1


def test_large_audio_goes_by_upload_and_gives_the_same(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    inline = client.caption(clip)
    with GatewayClient(client._config.target) as other:
        gateway.max_inline_bytes = 1_000
        uploaded = other.caption(clip)
    assert (uploaded.text, uploaded.path) == (inline.text, str(clip))
    assert gateway.methods()[-2:] == ["Upload", "Caption"]
    assert list(gateway.uploads.values()) == [clip.read_bytes()]


def test_transcribe_channels_gives_one_result_a_track(client: GatewayClient, clip: Path) -> None:
    first, second = client.transcribe_channels(clip)
    assert first.text == second.text


def test_max_window_and_sampling_reach_the_gateway(client: GatewayClient, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", noise(9.0))
    short = client.transcribe(path, max_window_seconds=4, sampling=SamplingParams(max_new_tokens=1))
    assert len(short.coverage) >= 3
    assert {row.ending for row in short.coverage} <= {Ending.LENGTH, Ending.STOP}


def test_ask_about_several_recordings_and_in_turns(client: GatewayClient, clip: Path) -> None:
    sampling = SamplingParams(max_new_tokens=3, top_logprobs=2)
    asked = client.ask("what is it", clip, clip, sampling=sampling)
    assert asked.ending in (Ending.LENGTH, Ending.STOP) and asked.audio_seconds == 3
    assert len(asked.logprobs) == asked.usage.generated_tokens and len(asked.logprobs[0].top) == 2
    turns = [
        ChatTurn("user", (Recording(clip), "what is it")),
        ChatTurn("assistant", (asked.text or "a dog",)),
        ChatTurn("user", ("and now",)),
    ]
    assert client.ask(turns).coverage[0].owned.end_sample == 24_000
    assert client.ask([ChatTurn("user", ("hello",))]).coverage == ()


def test_classify_scores_and_abstains(client: GatewayClient, clip: Path) -> None:
    found = client.classify(clip, ["dog", "sea_waves"])
    assert found.label in ("dog", "sea_waves") and found.scores is not None
    assert sum(found.scores.values()) == pytest.approx(1)
    assert client.classify(clip, ["dog", "cat"], abstain_below=0.999999).label is None


def test_generate_gives_the_answer_of_ask_in_deltas(client: GatewayClient, clip: Path) -> None:
    deltas = list(client.generate("what is it", clip))
    asked = client.ask("what is it", clip)
    assert "".join(delta.text for delta in deltas) == asked.text
    assert [delta.end is None for delta in deltas[:-1]] == [True] * (len(deltas) - 1)
    end = deltas[-1].end
    assert end is not None and end.ending is asked.ending and end.coverage == asked.coverage


def test_generate_left_early_cancels_at_the_gateway(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.holds_after_delta = True
    with client.generate("what is it", clip) as stream:
        next(stream)
    assert list(stream) == []
    _until(lambda: gateway.num_cancelled == 1)


def test_generate_is_tried_again_only_before_its_first_delta(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.faults += [away()]
    gateway.faults_after_delta += [away()]
    stream = client.generate("what is it", clip)
    next(stream)
    with pytest.raises(StageUnavailableError, match="decoder is away"):
        next(stream)
    assert list(stream) == []
    assert gateway.methods().count("Generate") == 2


def test_call_is_tried_again_under_one_request_id(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    client.models()
    gateway.faults += [away()]
    started = time.monotonic()
    client.transcribe(clip, request_id="mine")
    assert time.monotonic() - started >= 1  # the server's RetryInfo, not our 10 ms
    calls = [metadata for method, metadata in gateway.seen if method == "Transcribe"]
    assert [each["x-request-id"] for each in calls] == ["mine", "mine"]
    assert not any("traceparent" in each for each in calls)  # the gateway begins the trace


def test_upload_that_failed_is_sent_again_from_its_start(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    client.models()
    gateway.faults += [away()]
    upload = client.upload(clip)
    assert upload.size_bytes == clip.stat().st_size and upload.expire_time is not None
    assert gateway.uploads[upload.name] == clip.read_bytes()


def test_attempts_end_and_the_error_is_the_last_one(target: str, gateway: SmallGateway, clip: Path) -> None:
    gateway.faults += [QueueFullError("no room")] * 3
    once = RetryPolicy(max_attempts=1)
    with GatewayClient(target, retry=once) as client, pytest.raises(QueueFullError) as caught:
        client.transcribe(clip)
    assert len(gateway.faults) == 2 and caught.value.reason == "QUEUE_FULL"


def test_errors_of_the_gateway_come_as_their_classes(
    client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.max_window_seconds = 1.0
    with pytest.raises(AudioTooLongError, match="at most 1 s") as caught:
        client.transcribe(clip)
    assert caught.value.reason == "AUDIO_TOO_LONG" and caught.value.__notes__[0].startswith("request id")
    with pytest.raises(NotFoundError) as missing:
        client.transcribe(Upload("uploads/none"))
    assert missing.value.reason == "UPLOAD_NOT_FOUND"
    with pytest.raises(InvalidInputError, match="no audio"):
        client.transcribe(b"no audio at all, only words" * 10)
    with pytest.raises(InvalidInputError):
        client.classify(clip, [])


def test_file_that_cannot_be_sent_is_refused_here(
    client: GatewayClient, gateway: SmallGateway, tmp_path: Path
) -> None:
    for audio, reason in ((tmp_path / "none.wav", "FILE_NOT_FOUND"), (tmp_path, "NOT_A_FILE")):
        with pytest.raises((NotFoundError, InvalidInputError)) as caught:
            client.transcribe(audio)
        assert caught.value.reason == reason
    with pytest.raises(InvalidInputError, match="uploaded already"):
        client.upload(Upload("uploads/1"))
    assert gateway.methods() == ["List"]


def test_deadline_holds_for_call_and_pauses(target: str, gateway: SmallGateway, clip: Path) -> None:
    gateway.holds_after_delta = True
    with GatewayClient(target, timeout_seconds=60) as client:
        client.models()
        with pytest.raises(CancelledError) as caught:
            list(client.generate("what is it", clip, timeout_seconds=0.5))
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_gateway_that_is_away_is_unavailable(clip: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        with GatewayClient(target, retry=QUICK) as client, pytest.raises(StageUnavailableError):
            client.transcribe(clip)


def test_key_is_sent_as_bearer(target: str, gateway: SmallGateway) -> None:
    with GatewayClient(target, key="secret") as client:
        served = client.models()
    assert gateway.seen[0][1]["authorization"] == "Bearer secret"
    assert served.default.name == "tiny" and served.default.time_step_seconds == 0.2
    assert served.limits.max_inline_bytes == 1 << 20


async def test_async_client_gives_what_the_other_gives(
    async_client: AsyncGatewayClient, client: GatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    heard, captioned, asked, found = await asyncio.gather(
        async_client.transcribe(clip),
        async_client.caption(clip.read_bytes()),
        async_client.ask("what is it", clip),
        async_client.classify(clip, ["dog", "cat"]),
    )
    assert heard.text == client.transcribe(clip).text and heard.coverage == client.transcribe(clip).coverage
    assert captioned.text == client.caption(clip).text
    assert asked.text == client.ask("what is it", clip).text
    assert found.scores == client.classify(clip, ["dog", "cat"]).scores
    assert (await async_client.transcribe_channels(clip))[1].text == heard.text


async def test_async_upload_and_retry(
    async_client: AsyncGatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.max_inline_bytes = 1_000
    await async_client.models()
    gateway.faults += [away(), away()]
    assert (await async_client.transcribe(clip)).text
    assert gateway.methods() == ["List", "Upload", "Upload", "Upload", "Transcribe"]
    with pytest.raises(NotFoundError):
        await async_client.transcribe("no such file")


async def test_async_generate_streams_retries_first_and_cancels(
    async_client: AsyncGatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.faults += [away()]
    deltas = [delta async for delta in async_client.generate("what is it", clip)]
    assert deltas[-1].end is not None and gateway.methods().count("Generate") == 2
    gateway.holds_after_delta = True
    async with async_client.generate("what is it", clip) as stream:
        await anext(stream)
        waiting = asyncio.create_task(_next_or_none(stream))
        await asyncio.sleep(0.05)
        await stream.aclose()
        assert await waiting is None
    assert [delta async for delta in stream] == []
    for _ in range(200):
        await asyncio.sleep(0.02)
        if gateway.num_cancelled:
            break
    assert gateway.num_cancelled == 1


async def test_async_generate_after_its_first_delta_is_not_tried_again(
    async_client: AsyncGatewayClient, gateway: SmallGateway, clip: Path
) -> None:
    gateway.faults_after_delta += [away()]
    stream = async_client.generate("what is it", clip)
    await anext(stream)
    with pytest.raises(StageUnavailableError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def _next_or_none(stream: object) -> object:
    return await anext(stream, None)  # type: ignore[call-overload]


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds()
