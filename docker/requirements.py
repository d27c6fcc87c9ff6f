"""Writes docker/requirements-*.txt: what each image installs, exact and with hashes.

    python docker/requirements.py [NAME...]

Versions are those of constraints.txt, hashes those that the package index tells; the files name no index.
uv does it, installed for that into .cache/uv. Some packages need others only for what we never do (asking
a model hub, serving by another Triton interface): those in EXCLUDED are left out, so the images install with
--no-deps. CUDA's own packages, which torch brings, are not in constraints.txt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.9"

EXCLUDED = (
    # of tokenizers: downloads from a hub
    "huggingface-hub",
    # of nvidia-pytriton: its own interface, and clients by HTTP; we start its server
    *("importlib-metadata", "pyzmq", "sh", "typer", "typing-inspect", "wrapt"),
    *("aiohttp", "gevent", "geventhttpclient", "greenlet"),
    # of kubernetes: its asynchronous copy, which docker/install.sh removes
    "aiohttp-retry",
)

HEADER = """\
# Made by docker/requirements.py (make image-requirements): the versions of constraints.txt, with hashes.
# Installed with --no-deps --require-hashes into the image of this name.
"""


@dataclass(frozen=True)
class Image:
    """What is resolved for one file.

    Attributes:
        extras: of pyproject.toml; with none, the base install.
        packages: beside them.
        python: version in the image.
        has_eureka: whether the packages of pyproject.toml are needed at all.
    """

    extras: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    python: str = "3.11"
    has_eureka: bool = True


_WATCHED = ("grpcio", "grpcio-health-checking", "opentelemetry-exporter-otlp-proto-grpc", "opentelemetry-sdk")
_MODELS = (
    "llguidance",
    "safetensors",
    "tokenizers",
    "tritonclient",
    "ml-dtypes",
    "packaging",
    "psutil",
    *_WATCHED,
)

IMAGES = {
    "build": Image(packages=("pybind11", "setuptools"), has_eureka=False),
    "service": Image(extras=("serve", "cluster")),
    "worker": Image(extras=("worker",)),
    "triton-cpu": Image(packages=(*_MODELS, "nvidia-pytriton", "onnx", "onnxruntime")),
    "triton-gpu": Image(packages=(*_MODELS, "torch"), python="3.12"),
}


def write(name: str) -> Path:
    """Resolve one file and write it; its path."""
    image, path = IMAGES[name], ROOT / "docker" / f"requirements-{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        own, excluded = Path(folder) / "own.in", Path(folder) / "excluded.txt"
        own.write_text("\n".join(image.packages) + "\n")
        excluded.write_text("".join(f"{package}; sys_platform == 'never'\n" for package in EXCLUDED))
        inputs = ["pyproject.toml"] * image.has_eureka + [str(own)]
        command = [
            *(str(_uv()), "pip", "compile", "--quiet", "--no-config", "--system-certs", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--python-platform", "x86_64-manylinux_2_36"),
            *("--python-version", image.python, "-c", "constraints.txt", "--override", str(excluded)),
            *(f"--extra={extra}" for extra in image.extras),
            *inputs,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    path.write_text(HEADER + done.stdout)
    return path


def _uv() -> Path:
    """The program, in an environment of its own."""
    folder = ROOT / ".cache" / "uv"
    program = folder / "bin" / "uv"
    if not program.is_file():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, f"uv=={UV_VERSION}"], check=True)
    return program


def main() -> int:
    """Write the files that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}; default all")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(IMAGES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    for name in given.names or IMAGES:
        path = write(name)
        print(f"{path.relative_to(ROOT)}: {path.read_text().count('==')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
