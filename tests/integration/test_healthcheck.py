"""What containers run beside our servers: the question how they are, the wait for the store, Triton."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eureka.errors import StageUnavailableError
from eureka.runtime.interceptors import standard_interceptors
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage_init import wait_for_store
from eureka.runtime.triton import free_ports
from eureka.runtime.triton_wheel import find_triton_wheel
from tests.helpers.grpc_services import quick_monitor, serving
from tests.helpers.radosgw import S3Server


def ask(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eureka.runtime.healthcheck", *arguments]
    environment = {**os.environ, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


async def test_server_is_healthy_until_it_drains_and_lives_on() -> None:
    async with serving(standard_interceptors(), monitor=quick_monitor(None, 30.0)) as served:
        served.running.monitor.record_answer()
        port = {"EUREKA_GATEWAY__PORT": str(served.running.port)}
        ready = await asyncio.to_thread(ask, "gateway", **port)
        await served.running.monitor.drain()
        drained = await asyncio.to_thread(ask, "gateway", **port)
        live = await asyncio.to_thread(ask, "gateway", "--live", **port)
    assert [ready.returncode, drained.returncode, live.returncode] == [0, 1, 0], ready.stderr


def test_nobody_there_is_not_healthy() -> None:
    (port,) = free_ports(1)
    for component in ("decoder", "triton"):
        done = ask(component, EUREKA_DECODER__PORT=str(port), EUREKA_TRITON__GRPC_PORT=str(port))
        assert done.returncode == 1 and done.stdout == "not healthy\n", component
    done = ask("worker", EUREKA_QUEUE__URL=f"redis://127.0.0.1:{port}/0")
    assert done.returncode == 1 and done.stdout == "not healthy\n"


def test_setting_that_does_not_exist_is_named() -> None:
    done = ask("gateway", EUREKA_GATEWAY__PROT="1")
    assert done.returncode == 1 and "EUREKA_GATEWAY__PROT is not a setting" in done.stderr


def test_wait_for_the_store_makes_the_bucket(s3_server: S3Server) -> None:
    settings = StorageSettings(
        kind="s3",
        endpoint=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        bucket="made-at-the-start",
        create_bucket=True,
    )
    wait_for_store(settings, 0.0)
    wait_for_store(settings.model_copy(update={"create_bucket": False}), 0.0)


def test_store_that_stays_away_ends_the_wait() -> None:
    (port,) = free_ports(1)
    settings = StorageSettings(
        kind="s3", endpoint=f"http://127.0.0.1:{port}", access_key="id", secret_key="x", max_attempts=1
    )
    with pytest.raises(StageUnavailableError) as caught:
        wait_for_store(settings, 0.0)
    assert caught.value.reason == "STORE_UNAVAILABLE"


def test_triton_runs_in_the_foreground_with_the_models_it_is_told(
    tiny_checkpoint: Path, tmp_path: Path, repo_root: Path
) -> None:
    try:
        find_triton_wheel()
    except StageUnavailableError as error:
        pytest.skip(str(error))
    http, grpc, metrics = free_ports(3)
    settings = {
        "EUREKA_CHECKPOINT": str(tiny_checkpoint),
        "EUREKA_CACHE_FOLDER": str(tmp_path / "cache"),
        "EUREKA_TRITON__HTTP_PORT": str(http),
        "EUREKA_TRITON__GRPC_PORT": str(grpc),
        "EUREKA_TRITON__METRICS_PORT": str(metrics),
        "EUREKA_TRITON__MODELS": "moe_adapter",
    }
    command, prepared = [sys.executable, "-m", "eureka.runtime.triton_server"], str(tmp_path / "prepared")
    subprocess.run([*command, "--prepare", prepared], check=True, timeout=30)
    with (tmp_path / "triton.log").open("wb") as log:
        environment = {**os.environ, **settings}
        server = subprocess.Popen([*command, "--prepared", prepared], env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while ask("triton", **settings).returncode:
            assert server.poll() is None and time.monotonic() < until, (tmp_path / "triton.log").read_text()
        everything = {**settings, "EUREKA_TRITON__MODELS": "moe_adapter,llm_decoder"}
        assert ask("triton", **everything).returncode == 1
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
