"""`python -m eureka.runtime.triton_server`: be Triton with our models, for images and pods.

The process becomes the server, so signals reach it, and it is the server's log that is seen. NVIDIA's server
is taken where it is installed, else the one of the wheel. `--prepare FOLDER` writes what the server reads,
and ends: an image holds that, and has no place to write at its start; `--prepared FOLDER` starts with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eureka.errors import EurekaError, NotFoundError
from eureka.runtime.settings import Settings, checkout_root, load_settings
from eureka.runtime.settings_sections import TritonSettings
from eureka.runtime.triton_wheel import copy_repository, find_triton_wheel, model_environment, server_options

NVIDIA_SERVER = "tritonserver"
"""Program of NVIDIA's images, on their PATH."""

_BACKENDS, _REPOSITORY = "backends", "model_repo"


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How a server is started.

    Attributes:
        arguments: program and arguments.
        environment: all of it.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def prepare(folder: Path) -> None:
    """Write model repository, byte code included, and the wheel's backends, where it is the server.

    Raises:
        NotFoundError: reason NO_CHECKOUT; there is no model_repo.
        StageUnavailableError: reason TRITON_UNAVAILABLE; there is no server.
    """
    repository = checkout_root() / _REPOSITORY
    if not repository.is_dir():
        message = f"Triton's models are in a checkout or an image: there is no {repository}"
        raise NotFoundError(message, reason="NO_CHECKOUT")
    folder.mkdir(parents=True, exist_ok=True)
    copy_repository(repository, folder)
    if shutil.which(NVIDIA_SERVER) is None:
        find_triton_wheel().build_backends(folder)


def server_command(section: TritonSettings, prepared: Path) -> ServerCommand:
    """The command for the server of this machine.

    Args:
        section: ports, addresses, models, grace.
        prepared: a folder of `prepare`.

    Raises:
        StageUnavailableError: reason TRITON_UNAVAILABLE.
    """
    ports = (section.http_port, section.grpc_port, section.metrics_port)
    hosts = (section.host, section.metrics_host)
    repository, own = prepared / _REPOSITORY, _own_options(section)
    nvidia = shutil.which(NVIDIA_SERVER)
    if nvidia is not None:
        arguments = [nvidia, *server_options(repository, ports, *hosts), *own]
        return ServerCommand(tuple(arguments), {**os.environ, **model_environment()})
    wheel = find_triton_wheel()
    arguments = [*wheel.arguments(prepared / _BACKENDS, repository, ports, *hosts), *own]
    return ServerCommand(tuple(arguments), wheel.environment())


def become_server(settings: Settings, prepared: Path | None) -> None:
    """Replace this process by the server; returns only by an error.

    Raises:
        EurekaError: as `prepare` and `server_command`.
    """
    if prepared is None:
        prepared = Path(tempfile.mkdtemp(prefix="eureka-models-"))
        prepare(prepared)
    command = server_command(settings.triton, prepared)
    os.execve(command.arguments[0], command.arguments, command.environment)


def _own_options(section: TritonSettings) -> list[str]:
    return [
        f"--exit-timeout-secs={section.grace_seconds}",
        *(f"--load-model={model}" for model in section.models.split(",")),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, or become the server; the exit status of what could not start."""
    parser = argparse.ArgumentParser(prog="python -m eureka.runtime.triton_server", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--prepare", type=Path, metavar="FOLDER", help="write what the server reads, and end")
    choice.add_argument(
        "--prepared", type=Path, metavar="FOLDER", help="start with what --prepare has written"
    )
    given = parser.parse_args(arguments)
    try:
        if given.prepare is not None:
            prepare(given.prepare)
        else:
            become_server(load_settings(), given.prepared)
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
