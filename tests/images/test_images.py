"""The images are built, and the platform runs in them: `make test-images`."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest

from eureka.api.v1 import job_service_pb2 as api
from eureka.api.v1 import job_service_pb2_grpc
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import JobState
from eureka.clients.gateway_types import Upload
from tests.helpers.image_builder import builder
from tests.helpers.sounds import noise, wav_of, write_wav
from tests.images.compose_user import LONG_RUNNING, ComposeUser
from tests.images.engine import Engine

pytestmark = [pytest.mark.images, pytest.mark.timeout(1_500)]

OURS = ("triton", "encoder", "adapter", "decoder", "gateway", "worker")
MAX_BYTES = 700_000_000
CAPTION_SECONDS = 180.0
"""From `up` to the first caption, with images that are there."""


@pytest.fixture(scope="session")
def address(stack: ComposeUser) -> str:
    return f"127.0.0.1:{stack.gateway_port}"


def test_images_are_small_and_say_what_they_are(engine: Engine, images: dict[str, int]) -> None:
    assert set(images) == {f"eureka-{name}:{builder.package_version()}" for name in builder.NAMES}
    for tag, size_bytes in images.items():
        assert size_bytes < MAX_BYTES, tag
        assert engine.run("inspect", "--format", "{{.Config.User}}", tag).strip() == "10001:10001"
        label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
        assert len(engine.run("inspect", "--format", label, tag).strip()) == 40
        notices = engine.run("run", "--rm", "--network=none", tag, "cat", "/opt/eureka/NOTICES.md")
        assert "x264" in notices and "## numpy" in notices, tag


def test_service_and_worker_hold_no_torch_and_triton_holds_the_kernels(
    engine: Engine, images: dict[str, int]
) -> None:
    def run(name: str, code: str) -> str:
        tag = f"eureka-{name}:{builder.package_version()}"
        return engine.run("run", "--rm", "--network=none", "--read-only", tag, "python", "-c", code).strip()

    find = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
    assert run("service", find.format(["torch", "kubernetes"])) == "['kubernetes']"
    assert run("worker", find.format(["torch", "kubernetes"])) == "[]"
    assert run("triton", find.format(["torch", "eureka.engine.native._kernels"])) == (
        "['eureka.engine.native._kernels']"
    )


def test_health_of_each_component_can_be_asked_in_its_image(engine: Engine, images: dict[str, int]) -> None:
    """Nothing listens there, so the answer is no, by a line of its own and without a traceback."""
    for name, component in (("service", "gateway"), ("worker", "worker"), ("triton", "triton")):
        tag = f"eureka-{name}:{builder.package_version()}"
        command = ["python", "-m", "eureka.runtime.healthcheck", component]
        with pytest.raises(subprocess.CalledProcessError) as failed:
            engine.run("run", "--rm", "--network=none", "--read-only", tag, *command)
        assert "Traceback" not in failed.value.stderr, failed.value.stderr


def test_first_caption_comes_within_three_minutes(
    stack: ComposeUser, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_wav(tmp_path / "noise.wav", noise(3.0, seed=1))
    started = time.monotonic()
    with GatewayClient(address) as client:
        caption = client.caption(clip).text
    seconds = max(stack.seconds_to_healthy.values()) + time.monotonic() - started
    with capsys.disabled():
        print(f"\nfirst caption after {seconds:.0f} s: {caption!r}")
    assert seconds < CAPTION_SECONDS
    command = [sys.executable, "-m", "eureka.cli.main", "caption", str(clip), "--local"]
    here = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert caption and caption == here.stdout.strip()


def test_job_by_links_that_open_from_outside(stack: ComposeUser, address: str) -> None:
    audio = wav_of(noise(4.0, seed=2))
    with grpc.insecure_channel(address) as channel:
        link = job_service_pb2_grpc.JobServiceStub(channel).CreateUpload(api.CreateUploadRequest())
    assert urlsplit(link.put_url).netloc == f"127.0.0.1:{stack.s3_port}"
    request = urllib.request.Request(link.put_url, data=audio, method="PUT")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200
    with GatewayClient(address) as client:
        job = client.create_job(Upload(link.upload, len(audio)))
        for _update in client.watch_job(job.name, timeout_seconds=120):
            pass
        assert client.get_job(job.name).state is JobState.SUCCEEDED
        _info, content = client.get_result(job.name)
    assert b'"coverage"' in content


def test_what_is_inside_is_not_published(stack: ComposeUser) -> None:
    published = {name: stack.inspect(name)["NetworkSettings"]["Ports"] for name in LONG_RUNNING}
    open_to_the_machine = {name for name, ports in published.items() if any(ports.values())}
    assert open_to_the_machine == {"gateway", "s3"}


def test_root_file_systems_cannot_be_written(stack: ComposeUser) -> None:
    for name in OURS:
        host = stack.inspect(name)["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], name


def test_sigterm_ends_every_part_by_itself(stack: ComposeUser) -> None:
    """The last: nothing runs after it."""
    stack.run("stop", timeout=200)
    codes = {name: stack.state(name)["ExitCode"] for name in OURS}
    assert set(codes.values()) == {0}, codes
