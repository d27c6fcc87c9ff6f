"""Builds the images of this checkout and prints their sizes: service, worker and triton (on a CPU).

    python docker/build.py [--docker PROGRAM] [--gpu] [NAME...]

The Dockerfiles need BuildKit. Where pip has an index of its own on this machine, or the machine trusts an
authority of its own, the builds get both as secrets, which no image keeps. --gpu builds Triton over NVIDIA's
image instead; this repository's checks do not.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("service", "worker", "triton")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
GPU_BASE = "nvcr.io/nvidia/tritonserver:26.07-py3"
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host")
LAST_WITHOUT_PLUGIN = 22
"""Newer clients build with BuildKit only where their plugin buildx is installed."""


@dataclass(frozen=True)
class Built:
    """An image that was built.

    Attributes:
        tag: its name.
        size_bytes: of all its layers.
        seconds: that the build took.
    """

    tag: str
    size_bytes: int
    seconds: float


def package_version() -> str:
    """The version of the package, without importing it."""
    text = (ROOT / "src" / "eureka" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r"^__version__ = (.+)$", text, re.MULTILINE)
    if found is None:
        raise SystemExit("src/eureka/__init__.py names no __version__")
    return str(ast.literal_eval(found.group(1)))


def docker_with_buildkit() -> str | None:
    """The first docker on the PATH that builds with BuildKit."""
    for folder in os.get_exec_path():
        docker = shutil.which("docker", path=folder)
        if docker and _has_buildkit(docker):
            return docker
    return None


def tag_of(name: str, *, gpu: bool = False) -> str:
    """Name and tag of an image; over NVIDIA's image Triton has a tag of its own."""
    return f"eureka-{name}:{package_version()}" + ("-gpu" if gpu and name == "triton" else "")


def build(docker: str, names: Sequence[str], *, gpu: bool = False) -> Iterator[Built]:
    """Build images one after the other.

    Raises:
        SystemExit: a build failed; its end is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        secrets = list(_secrets(Path(folder)))
        for name in names:
            tag = tag_of(name, gpu=gpu)
            kind = (
                [f"BASE_IMAGE={GPU_BASE}", "KIND=gpu", "NO_NATIVE_KERNELS=1"] if tag.endswith("-gpu") else []
            )
            started = time.monotonic()
            _run(
                *(docker, "build", "--network=host", "--file", f"docker/Dockerfile.{name}", "--tag", tag),
                *(word for argument in [*_labels(), *kind] for word in ("--build-arg", argument)),
                *secrets,
                ".",
            )
            size = int(_run(docker, "image", "inspect", "--format", "{{.Size}}", tag))
            yield Built(tag, size, time.monotonic() - started)


def _labels() -> list[str]:
    revision, _, created = _run("git", "show", "--no-patch", "--format=%H %cI", "HEAD").strip().partition(" ")
    return [f"VERSION={package_version()}", f"REVISION={revision}", f"CREATED={created}"]


def _secrets(folder: Path) -> Iterator[str]:
    """What pip needs on this machine."""
    if AUTHORITIES.is_file():
        yield from ("--secret", f"id=ca_certificates,src={AUTHORITIES}")
    settings = "".join(f"{key} = {value}\n" for key, value in _pip_settings())
    if settings:
        path = folder / "pip.conf"
        path.write_text(f"[global]\n{settings}")
        yield from ("--secret", f"id=pip_conf,src={path}")


def _pip_settings() -> Iterator[tuple[str, str]]:
    """Where pip of this machine looks; folders of the machine are not in a build."""
    lines = _run(sys.executable, "-m", "pip", "config", "list").splitlines()
    for line in lines:
        name, _, value = line.partition("=")
        key, text = name.rpartition(".")[2], str(ast.literal_eval(value))
        reachable = " ".join(word for word in text.split() if not word.startswith(("file:", "/")))
        if key in PIP_KEYS and reachable:
            yield key, reachable


def _has_buildkit(docker: str) -> bool:
    version = _output(docker, "version", "--format", "{{.Client.Version}}") or _output(docker, "--version")
    found = re.search(r"(\d+)\.\d+", version)
    if found and int(found.group(1)) <= LAST_WITHOUT_PLUGIN:
        return True
    return bool(_output(docker, "buildx", "version"))


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def _run(*command: str) -> str:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stderr[-4_000:]}")
    return done.stdout


def main() -> int:
    """Build and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--docker", help="program; default the first on the PATH that has BuildKit")
    parser.add_argument("--gpu", action="store_true", help="Triton over NVIDIA's image")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}")
    docker = given.docker or docker_with_buildkit()
    if docker is None:
        print(
            "images need docker with BuildKit (docker before 23, or with the plugin buildx)", file=sys.stderr
        )
        return 1
    for image in build(docker, given.names or NAMES, gpu=given.gpu):
        print(f"{image.tag:28} {image.size_bytes / 1e6:6.0f} MB  built in {image.seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
