"""Someone who brings the platform up by docker-compose.yml, with the override of the tests laid over it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.images.engine import Engine

LONG_RUNNING = ("redis", "s3", "triton", "encoder", "adapter", "decoder", "gateway", "worker")
UP_SECONDS = 300.0


def compose_program() -> list[str] | None:
    """docker-compose 1.29, or Compose v2 as a plugin."""
    if program := shutil.which("docker-compose"):
        return [program]
    if shutil.which("docker") is None:
        return None
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    return ["docker", "compose"] if plugin.returncode == 0 else None


def env_file(root: Path, path: Path, **changed: str) -> Path:
    """.env.example as somebody copies it, with some lines changed."""
    lines = (root / ".env.example").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in changed]
    path.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in changed.items())]) + "\n")
    return path


def free_port() -> int:
    """One that nothing listens at now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@dataclass
class ComposeUser:
    """One project of compose.

    Attributes:
        engine: where it runs.
        compose: program, and its first arguments.
        root: of the checkout.
        folder: for the values.
        project: its name.
        seconds_to_healthy: of each service from the start, as they became healthy.
    """

    engine: Engine
    compose: list[str]
    root: Path
    folder: Path
    project: str = field(default_factory=lambda: f"eureka-images-{os.getpid()}")
    gateway_port: int = field(default_factory=free_port)
    s3_port: int = field(default_factory=free_port)
    seconds_to_healthy: dict[str, float] = field(default_factory=dict)

    def run(self, *arguments: str, timeout: float = UP_SECONDS) -> str:
        """One command of compose; its stdout."""
        values = env_file(
            self.root,
            self.folder / "values.env",
            COMPOSE_PROFILES="",
            GATEWAY_ADDRESS=f"127.0.0.1:{self.gateway_port}",
            S3_ADDRESS=f"127.0.0.1:{self.s3_port}",
            EUREKA_STORAGE__PUBLIC_ENDPOINT=f"http://127.0.0.1:{self.s3_port}",
        )
        files = [self.root / "docker-compose.yml", self.root / "tests/images/compose.override.yml"]
        command = [*self.compose, "--env-file", str(values), "--project-name", self.project]
        command += [word for file in files for word in ("--file", str(file))]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.root,
            env=self.engine.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{done.stderr[-2_000:]}\n{self.words_of_the_ill()}"
        return done.stdout

    def words_of_the_ill(self) -> str:
        """The ends of logs and health checks of containers that are neither healthy nor ended well."""
        of_project = f"label=com.docker.compose.project={self.project}"
        told = []
        for container in self.engine.run("ps", "--all", "--quiet", "--filter", of_project).split():
            described = json.loads(self.engine.run("inspect", container))[0]
            state = described["State"]
            has_ended_well = state["Status"] == "exited" and state["ExitCode"] == 0
            if has_ended_well or state.get("Health", {}).get("Status") == "healthy":
                continue
            checks = [check["Output"][-500:] for check in state.get("Health", {}).get("Log", [])[-1:]]
            told += [described["Name"], *checks, self.engine.run("logs", "--tail", "10", container)]
        return "\n".join(told)

    def up(self) -> float:
        """Start all and wait until each is healthy; seconds that it took."""
        started = time.monotonic()
        self.run("up", "--detach")
        while len(self.seconds_to_healthy) < len(LONG_RUNNING):
            assert time.monotonic() < started + UP_SECONDS, f"healthy by now: {self.seconds_to_healthy}"
            for name in set(LONG_RUNNING) - set(self.seconds_to_healthy):
                if self.state(name)["Health"]["Status"] == "healthy":
                    self.seconds_to_healthy[name] = time.monotonic() - started
            time.sleep(0.5)
        return time.monotonic() - started

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of the container of a service."""
        label = f"label=com.docker.compose.service={service}"
        of_project = f"label=com.docker.compose.project={self.project}"
        found = self.engine.run("ps", "--all", "--quiet", "--filter", label, "--filter", of_project).split()
        assert len(found) == 1, f"{service}: {found}"
        described: list[dict[str, Any]] = json.loads(self.engine.run("inspect", found[0]))
        return described[0]

    def state(self, service: str) -> dict[str, Any]:
        """How the container of a service is."""
        state: dict[str, Any] = self.inspect(service)["State"]
        return state

    def down(self) -> None:
        """Stop and remove all, volumes too."""
        self.run("down", "--volumes", "--timeout", "40")
