"""A container engine for the tests of images: the one that runs here, else one of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers.image_builder import builder

PYTHON_IMAGE = "python:3.11.14-slim-bookworm"
"""Base that the Dockerfiles name."""

BASE_PACKAGES = ("ca-certificates", "libpython3.11", "python3", "python3-pip")
"""Of Debian, for a base that stands in where no registry is reached."""

START_SECONDS, PULL_SECONDS, BASE_SECONDS = 60.0, 120.0, 400.0


class NoEngineError(Exception):
    """No container engine runs here, nor can one be started; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A docker that builds with BuildKit, and how its daemon is reached.

    Attributes:
        program: path of the client.
        environment: that leads it to the daemon.
    """

    program: str
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, *arguments: str, timeout: float = 120.0) -> str:
        """One command of docker; its stdout.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = [self.program, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def has_image(self, tag: str) -> bool:
        """Whether an image of this name is there."""
        return bool(self.run("images", "--quiet", tag).strip())


@contextmanager
def container_engine() -> Iterator[Engine]:
    """The engine that docker reaches by itself, else a daemon of our own that ends with the context.

    Raises:
        NoEngineError: there is none, and none can be started.
    """
    program = builder.docker_with_buildkit()
    if program is None:
        raise NoEngineError("no docker with BuildKit (Debian: docker.io)")
    engine = Engine(program)
    if _answers(engine):
        yield engine
        return
    daemon = shutil.which("dockerd")
    if daemon is None or os.getuid() != 0:
        raise NoEngineError("no engine answers, and dockerd is started by root alone (Debian: docker.io)")
    with (
        TemporaryDirectory(prefix="eureka-docker-") as folder,
        _own_daemon(daemon, program, Path(folder)) as own,
    ):
        yield own


@contextmanager
def _own_daemon(daemon: str, program: str, folder: Path) -> Iterator[Engine]:
    """A daemon in a folder; it leaves packet filters of the machine alone, so ports go through its proxy."""
    socket, log = f"unix://{folder}/docker.sock", folder / "log"
    command = [daemon, "--host", socket, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        engine = Engine(program, {**os.environ, "DOCKER_HOST": socket})
        _wait_for(engine, process, log)
        yield engine
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        _unmount(folder)


def _unmount(folder: Path) -> None:
    """Let go of what a daemon leaves mounted, network namespaces for one: the folder could not be removed."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", place], check=True, capture_output=True)


def _wait_for(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not _answers(engine):
        if process.poll() is not None or time.monotonic() > until:
            end = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise NoEngineError(f"dockerd does not start here: {end[-300:]}")
        time.sleep(0.5)


def _answers(engine: Engine) -> bool:
    with suppress(subprocess.SubprocessError):
        return bool(engine.run("version", "--format", "{{.Server.Version}}", timeout=10.0).strip())
    return False


def ensure_base(engine: Engine) -> str:
    """Have the base of the images: as it is, pulled, or made of Debian's packages; says which.

    Raises:
        NoEngineError: it can be had in no way.
    """
    if engine.has_image(PYTHON_IMAGE):
        return "already there"
    with suppress(subprocess.SubprocessError):
        engine.run("pull", "--quiet", PYTHON_IMAGE, timeout=PULL_SECONDS)
        return "pulled"
    if shutil.which("debootstrap") is None or os.getuid() != 0:
        raise NoEngineError(f"{PYTHON_IMAGE} is not reached, and debootstrap not installed or not root")
    with TemporaryDirectory(prefix="eureka-base-") as folder:
        _import_debian(engine, Path(folder))
    return "made of Debian's packages"


def _import_debian(engine: Engine, folder: Path) -> None:
    packages = f"--include={','.join(BASE_PACKAGES)}"
    command = ["debootstrap", "--variant=minbase", packages, "bookworm", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=BASE_SECONDS)
    for used_up in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/locale",
        "usr/share/man",
    ):
        shutil.rmtree(folder / used_up, ignore_errors=True)
        (folder / used_up).mkdir(parents=True)
    packed = ["tar", "--create", "--numeric-owner", "--directory", str(folder), "."]
    with subprocess.Popen(packed, stdout=subprocess.PIPE) as tar:
        importing = [engine.program, "import", "-", PYTHON_IMAGE]
        subprocess.run(importing, stdin=tar.stdout, env=engine.environment, check=True, capture_output=True)
