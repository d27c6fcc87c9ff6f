"""The base wheel alone is a client: the examples of docs/api.md run with it, on both protobuf versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.job_gateway import job_gateway, put
from tests.helpers.job_rig import tone_model
from tests.helpers.small_gateway import SmallGateway, serving, small_gateway
from tests.helpers.sounds import noise, write_wav
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint
from tests.helpers.tokenizers import small_nano_tokenizer

PROTOBUFS = ["protobuf==6.33.6", "protobuf>=7,<8"]
"""The last that tritonclient allows, and the newest."""

HEAVY = ("torch", "av", "tokenizers", "tritonclient", "onnxruntime", "grpc_health")
"""What the base install must not bring."""

_BUILT_FROM = ("src", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="session")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in _BUILT_FROM:
        path = repo_root / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(path, source / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    [built] = folder.glob("eureka-*.whl")
    return built


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Key and self-signed certificate of localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "ca.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
    return key, chain


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[tuple[SmallGateway, dict[str, str]]]:
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    with small_gateway(checkpoint) as gateway, serving(gateway, certificate) as targets:
        yield gateway, targets


@pytest.fixture
def recordings(tmp_path: Path, certificate: tuple[Path, Path]) -> Path:
    """The folder in which the examples run, with the files that they name."""
    write_wav(tmp_path / "speech.wav", noise(2.0))
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        pcm = np.stack([noise(1.0, seed=1), noise(1.0, seed=2)], axis=1)
        file.writeframes((pcm * 32_767).astype("<i2").tobytes())
    shutil.copy(certificate[1], tmp_path / "ca.pem")
    return tmp_path


@pytest.fixture(scope="session", params=PROTOBUFS, ids=["protobuf-6", "protobuf-7"])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a fresh environment that holds the base install and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    interpreter = folder / "bin" / "python"
    _pip("--python", interpreter, "install", "--quiet", "--no-compile", wheel, request.param)
    return interpreter


def test_examples_of_the_documentation_run_with_the_base_wheel(
    python: Path, served: tuple[SmallGateway, dict[str, str]], recordings: Path, repo_root: Path
) -> None:
    gateway, targets = served
    gateway.seen.clear()
    program = _program(repo_root, is_of_jobs=False).replace("127.0.0.1:50050", targets["plain"])
    program = program.replace("gateway.example.com:443", targets["tls"])
    (recordings / "examples.py").write_text(program + _check_imports(), encoding="utf-8")
    done = _run(python, "-W", "error", "examples.py", folder=recordings)
    assert done.returncode == 0, done.stderr
    assert set(gateway.methods()) == {
        "List", "Transcribe", "Caption", "Ask", "Classify", "Generate", "Upload"
    }  # fmt: skip
    sent = [metadata for _, metadata in gateway.seen]
    assert {"Bearer eureka_..."} == {each["authorization"] for each in sent if "authorization" in each}
    assert "order-4711" in {each["x-request-id"] for each in sent}


def test_examples_of_jobs_run_with_the_base_wheel(
    python: Path, recordings: Path, repo_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokenizer = small_nano_tokenizer(tmp_path_factory.mktemp("tone"))
    folder = tmp_path_factory.mktemp("jobs")
    with job_gateway(folder, lambda: tone_model(tokenizer), has_keys=False) as gateway:
        put(gateway, "recordings/monday.wav", tenant="default")
        program = _program(repo_root, is_of_jobs=True).replace("127.0.0.1:50050", gateway.target)
        (recordings / "examples.py").write_text(program + _check_imports(), encoding="utf-8")
        done = _run(python, "-W", "error", "examples.py", folder=recordings)
    assert done.returncode == 0, done.stderr
    assert "JOB_ENDED" in done.stdout and "OBJECT_NOT_FOUND" not in done.stdout


def test_command_of_the_base_wheel_hears_at_a_gateway(
    python: Path, served: tuple[SmallGateway, dict[str, str]], recordings: Path
) -> None:
    command = python.parent / "eureka"
    arguments = ("transcribe", "speech.wav", "--gateway", served[1]["plain"])
    done = _run(command, *arguments, folder=recordings)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.strip()
    done = _run(command, "transcribe", "speech.wav", "--local", folder=recordings)
    assert done.returncode == 2 and "(NOT_INSTALLED)" in done.stderr


def _program(repo_root: Path, *, is_of_jobs: bool) -> str:
    """The examples of docs/api.md: those of its section Jobs, or all others."""
    document = (repo_root / "docs" / "api.md").read_text(encoding="utf-8")
    before, rest = document.split("\n## Jobs\n")
    jobs, after = rest.split("\n## ", 1)
    text = jobs if is_of_jobs else f"{before}\n## {after}"
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def _check_imports() -> str:
    return f"\nimport sys\n\nassert not set({HEAVY!r}) & set(sys.modules)\n"


def _run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command away from the checkout, without its settings and its packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EUREKA_", "PYTHON"))}
    parts = [str(part) for part in command]
    return subprocess.run(parts, cwd=folder, env=kept, capture_output=True, text=True, timeout=60)


def _pip(*arguments: object) -> None:
    """Run pip; without a package index the test is skipped by name, and fails in CI."""
    nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
    command = [*nice, sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=110)
    if done.returncode == 0:
        return
    is_offline = "No matching distribution" in done.stderr or "onnection" in done.stderr
    if is_offline and os.environ.get("CI") != "true":
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    pytest.fail(done.stderr)
