"""The client and the commands at the real gateway over a real Triton, against the model in this process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from eureka.clients.gateway import ChatTurn, GatewayClient, Recording, SamplingParams
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.errors import AudioTooLongError, CancelledError, NotFoundError
from eureka.runtime.triton import TritonLauncher
from tests.helpers.gateway_stack import Stack, metrics_at, noise, running_stack, until, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP = noise(2.0, 3)
MAX_INLINE_BYTES = 100_000
MAX_WINDOW_SECONDS = 12.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(
    triton: TritonLauncher, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    limits = {"max_inline_bytes": MAX_INLINE_BYTES, "max_window_audio_seconds": MAX_WINDOW_SECONDS}
    folder = tmp_path_factory.mktemp("uploads")
    async with running_stack(triton.config.grpc_address, tiny_checkpoint, folder, **limits) as stack:
        yield stack


@pytest.fixture
def target(stack: Stack) -> str:
    return f"127.0.0.1:{stack.fused.gateway.server.port}"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(wav(CLIP))
    return path


async def test_client_gives_what_this_process_hears(stack: Stack, target: str, clip: Path) -> None:
    here = stack.listener
    async with AsyncGatewayClient(target) as client:
        heard, captioned = await client.transcribe(clip), await client.caption(clip)
        asked = await client.ask("what is it", clip, sampling=SamplingParams(max_new_tokens=9))
        deltas = [delta async for delta in client.generate("what is it", clip)]
        found = await client.classify(clip, ["dog", "sea_waves"])
    own_transcript = here.transcribe("", [CLIP])
    assert (heard.text, heard.coverage) == (own_transcript.text, own_transcript.coverage)
    assert captioned.segments == here.caption("", [CLIP]).segments
    assert asked.text and "".join(delta.text for delta in deltas).startswith(asked.text)
    own = here.classify("", [CLIP], ["dog", "sea_waves"])
    assert found.label == own.label and found.scores == pytest.approx(own.scores, abs=1e-4)
    assert deltas[-1].end is not None and deltas[-1].end.coverage[0].owned.end_sample == len(CLIP)


async def test_large_and_two_channel_audio(stack: Stack, target: str) -> None:
    long = noise(4.0, 4)
    stereo = wav(long, noise(4.0, 5))
    assert len(stereo) > MAX_INLINE_BYTES
    async with AsyncGatewayClient(target) as client:
        left, right = await client.transcribe_channels(stereo)
        chosen = await client.transcribe(stereo, channel=1)
        with pytest.raises(AudioTooLongError, match="12 s"):
            await client.transcribe(wav(noise(MAX_WINDOW_SECONDS + 1)))
        with pytest.raises(NotFoundError):
            await client.transcribe(stereo, model="other")
    assert left.text == stack.listener.transcribe("", [long]).text
    assert chosen.text == right.text


async def test_stream_that_is_left_frees_its_place_at_the_gateway(
    stack: Stack, target: str, clip: Path
) -> None:
    turns = [ChatTurn("user", (Recording(clip), "tell me more"))]
    endless = SamplingParams(max_new_tokens=1_500, temperature=5.0, seed=1)
    async with AsyncGatewayClient(target) as client:
        async with client.generate(turns, sampling=endless) as stream:
            await anext(stream)
        with pytest.raises(CancelledError) as caught:
            await client.ask(turns, sampling=endless, timeout_seconds=0.05)
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    address = f"127.0.0.1:{stack.fused.gateway.metrics_server.port}"

    def is_idle() -> bool:
        return metrics_at(address)['eureka_requests_running{component="gateway"}'] == 0

    await until(is_idle)


async def test_sync_client_and_command(stack: Stack, target: str, clip: Path, tmp_path: Path) -> None:
    def hear() -> str:
        with GatewayClient(target) as client:
            return client.transcribe(client.upload(clip)).text

    own = stack.listener.transcribe("", [CLIP])
    assert await asyncio.to_thread(hear) == own.text
    long = tmp_path / "long.wav"
    long.write_bytes(wav(noise(MAX_WINDOW_SECONDS + 1)))
    command = [Path(sys.executable).parent / "eureka", "transcribe", clip, long]
    done = await asyncio.to_thread(_run, *command, "--gateway", target, "--format", "jsonl")
    assert (done.returncode, done.stderr) == (1, "")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["text"] == own.text and first["coverage"] == own.to_dict()["coverage"]
    assert second["error"]["reason"] == "AUDIO_TOO_LONG"


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
