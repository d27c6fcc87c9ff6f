"""Real servers for integration tests; what this machine cannot run is a named skip, and a failure in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import pytest_asyncio

from eureka.clients.triton import TritonClient, TritonOptions
from eureka.errors import StageUnavailableError
from eureka.runtime.triton import TritonConfig, TritonLauncher, free_ports
from tests.helpers.radosgw import PROGRAMS, S3Server, shared_radosgw
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

NUM_SLOTS, MAX_WAITING = 2, 4
IDLE_TIMEOUT_SECONDS = 2.5


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def triton(
    tiny_checkpoint: Path, repo_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonLauncher]:
    """A server with all four models over a tiny checkpoint."""
    http, grpc, metrics = free_ports(3)
    config = TritonConfig(
        repository=repo_root / "model_repo",
        log_file=tmp_path_factory.mktemp("triton") / "triton.log",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        environment={
            "EUREKA_CHECKPOINT": str(tiny_checkpoint),
            # Slower than the default, which leaves time to look at what happens between two tokens.
            "EUREKA_BACKEND": "reference",
            "EUREKA_TRITON__NUM_SLOTS": str(NUM_SLOTS),
            "EUREKA_TRITON__MAX_WAITING": str(MAX_WAITING),
        },
        stop_timeout_seconds=3.0,  # a stream of a killed model never ends: Triton waits for it to the last
    )
    try:
        launcher = TritonLauncher(config)
    except StageUnavailableError as error:
        _missing(str(error))
    with launcher:
        yield launcher


@pytest_asyncio.fixture
async def client(triton: TritonLauncher) -> AsyncIterator[TritonClient]:
    options = TritonOptions(idle_timeout_seconds=IDLE_TIMEOUT_SECONDS)
    async with TritonClient(triton.config.grpc_address, options) as client:
        yield client


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server: S3_TEST_ENDPOINT with S3_TEST_ACCESS_KEY and S3_TEST_SECRET_KEY, else Ceph's radosgw.

    All processes of a test run share one.
    """
    if endpoint := os.environ.get("S3_TEST_ENDPOINT"):
        yield S3Server(endpoint, os.environ["S3_TEST_ACCESS_KEY"], os.environ["S3_TEST_SECRET_KEY"])
        return
    if any(shutil.which(program) is None for program in PROGRAMS):
        _missing("no S3 server: install radosgw, ceph-mon and ceph-osd (Debian), or set S3_TEST_ENDPOINT")
    base = tmp_path_factory.getbasetemp()
    with shared_radosgw((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "s3") as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with certificates for localhost and for a client, and a stranger CA."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "stranger"):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        _openssl(folder, "req", "-x509", *curve, "-days", "2", "-subj", f"/CN={name}", *files)
    (folder / "names.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        _openssl(
            folder, "req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        files = ["-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", "names.ext"]
        _openssl(folder, "x509", "-req", *signing, *files)
    return folder


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: a skip is a failure)")
    pytest.skip(reason)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
