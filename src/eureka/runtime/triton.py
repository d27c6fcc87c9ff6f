"""TritonLauncher: a Triton server from the wheel as a child process; and the processes of its models.

A server counts as started when every model has answered a tiny request: Triton's own "ready" stays true
even when a model's process is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import grpc
import psutil
from tritonclient.grpc import service_pb2, service_pb2_grpc

from eureka.clients.channels import ChannelConfig, open_sync_channel
from eureka.clients.triton_wire import error_of_rpc, probe_request, read_stream_response
from eureka.engine.messages import LLM_DECODER, MODELS
from eureka.errors import AlreadyExistsError, EurekaError, StageUnavailableError
from eureka.runtime.triton_left_over import SHARED_MEMORY, remove_left_over, work_prefix
from eureka.runtime.triton_wheel import TritonWheel, copy_repository, find_triton_wheel

_log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.1
_LOG_TAIL_LINES = 30

_STUB_NAME = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class TritonConfig:
    """How a server is started.

    Attributes:
        repository: folder of models.
        log_file: what server and models write; a new start begins it anew.
        models: names to load, members before their ensembles.
        http_port: 8000 by Triton's custom.
        grpc_port: what clients call.
        metrics_port: Prometheus metrics.
        environment: added for server and models, for example EUREKA_CHECKPOINT.
        start_timeout_seconds: until all models have answered.
        stop_timeout_seconds: what running answers may take after SIGTERM, before SIGKILL.
    """

    repository: Path
    log_file: Path
    models: tuple[str, ...] = tuple(model.name for model in MODELS)
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout_seconds: float = 120.0
    stop_timeout_seconds: float = 30.0

    @property
    def grpc_address(self) -> str:
        """host:port for clients."""
        return f"{_LOOPBACK}:{self.grpc_port}"

    @property
    def metrics_address(self) -> str:
        """host:port of /metrics."""
        return f"{_LOOPBACK}:{self.metrics_port}"


class TritonLauncher:
    """Starts and stops one server; as a context it is started on entry and stopped on exit.

    Args:
        config: see there.
        wheel: where the server is; found in this environment when None.

    Raises:
        StageUnavailableError: no server for this platform, Python or environment (TRITON_UNAVAILABLE).
    """

    def __init__(self, config: TritonConfig, wheel: TritonWheel | None = None) -> None:
        self.config = config
        self._wheel = wheel or find_triton_wheel()
        self._process: subprocess.Popen[bytes] | None = None
        self._work_folder: Path | None = None
        self._spawned = threading.Event()
        self._spawn_error: OSError | None = None

    def __enter__(self) -> TritonLauncher:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the running server; None when there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until each model has answered; blocks for some seconds.

        Raises:
            AlreadyExistsError: a port is in use (PORT_IN_USE), named in the message.
            StageUnavailableError: the server ended or did not answer in time (TRITON_NOT_STARTED); the
                message ends with the last lines of the log.
        """
        config = self.config
        check_ports(config.http_port, config.grpc_port, config.metrics_port)
        deadline = time.monotonic() + config.start_timeout_seconds
        try:
            self._spawn()
            self._wait_until_ready(deadline)
        except BaseException:
            self.stop()
            raise
        _log.info("triton_started", extra={"pid": self.pid, "address": config.grpc_address})

    def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL to it and its models when the time is over."""
        process = self._process
        if process is not None:
            models = model_processes(process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(self.config.stop_timeout_seconds)
            except subprocess.TimeoutExpired:
                _log.warning("triton_killed", extra={"pid": process.pid})
                process.kill()
                process.wait()
            _kill_left_over(models)
            self._process = None
        self._clean_up()

    # -- starting ----------------------------------------------------------------------------------

    def _spawn(self) -> None:
        remove_left_over()
        self._work_folder = Path(tempfile.mkdtemp(prefix=work_prefix(os.getpid())))
        backends = self._wheel.build_backends(self._work_folder)
        repository = copy_repository(self.config.repository, self._work_folder)
        # The kernel tells the child of its parent's death when the thread that made it ends, so this
        # thread lives as long as the server.
        self._spawned.clear()
        keeper = threading.Thread(
            target=self._keep, args=(self._command(backends, repository),), name="triton-keeper", daemon=True
        )
        keeper.start()
        self._spawned.wait()
        if self._spawn_error is not None:
            raise self._spawn_error

    def _keep(self, command: list[str]) -> None:
        try:
            self.config.log_file.parent.mkdir(parents=True, exist_ok=True)
            with self.config.log_file.open("wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**self._wheel.environment(), **self.config.environment},
                    start_new_session=True,  # a Ctrl-C is for the parent, which stops the server in order
                )
        except OSError as error:
            self._spawn_error = error
            self._spawned.set()
            return
        self._process, self._spawn_error = process, None
        self._spawned.set()
        process.wait()

    def _command(self, backends: Path, repository: Path) -> list[str]:
        config = self.config
        ports = (config.http_port, config.grpc_port, config.metrics_port)
        return [
            *(sys.executable, "-m", "eureka.runtime.exec_with_parent", str(os.getpid())),
            *self._wheel.arguments(backends, repository, ports),
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory_prefix}",
            f"--exit-timeout-secs={int(config.stop_timeout_seconds)}",
            *(f"--load-model={model}" for model in config.models),
        ]

    @property
    def _shared_memory_prefix(self) -> str:
        return f"{work_prefix(os.getpid())}{self.config.grpc_port}-"

    def _wait_until_ready(self, deadline: float) -> None:
        with open_sync_channel(ChannelConfig(self.config.grpc_address)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            missing = list(self.config.models)
            while missing:
                if self.pid is None:
                    raise self._not_started("it ended")
                if time.monotonic() > deadline:
                    raise self._not_started(f"{missing[0]} did not answer in time")
                if answers_probe(stub, missing[0], _POLL_SECONDS * 50):
                    missing.pop(0)
                else:
                    time.sleep(_POLL_SECONDS)

    def _not_started(self, reason: str) -> StageUnavailableError:
        tail = "\n".join(log_tail(self.config.log_file, _LOG_TAIL_LINES))
        return StageUnavailableError(
            f"Triton did not start: {reason}; the end of {self.config.log_file}:\n{tail}",
            reason="TRITON_NOT_STARTED",
        )

    def _clean_up(self) -> None:
        """Remove the work folder and what a killed server left in shared memory."""
        if self._work_folder is not None:
            shutil.rmtree(self._work_folder, ignore_errors=True)
            self._work_folder = None
        for path in SHARED_MEMORY.glob(f"{self._shared_memory_prefix}*"):
            path.unlink(missing_ok=True)


def check_ports(*ports: int) -> None:
    """Refuse ports that something listens on; Triton itself would notice only after loading all models.

    Raises:
        AlreadyExistsError: PORT_IN_USE, naming the port.
    """
    for port in ports:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((_LOOPBACK, port))
            except OSError as error:
                raise AlreadyExistsError(
                    f"port {port} on {_LOOPBACK} is in use; name another or stop what listens there",
                    reason="PORT_IN_USE",
                ) from error


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def answers_probe(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str, timeout_seconds: float
) -> bool:
    """Whether a model answers a tiny real request; for threads without an event loop."""
    try:
        ready = service_pb2.ModelReadyRequest(name=model)
        if not stub.ModelReady(ready, timeout=timeout_seconds).ready:
            return False
        probe = probe_request(model)
        if model == LLM_DECODER.name:
            for reply in stub.ModelStreamInfer(iter([probe]), timeout=timeout_seconds):
                read_stream_response(reply)
        else:
            stub.ModelInfer(probe, timeout=timeout_seconds)
    except (grpc.RpcError, EurekaError) as error:
        ours = error if isinstance(error, EurekaError) else error_of_rpc(error)
        _log.debug("model_not_ready", extra={"model": model, "reason": ours.reason})
        return False
    return True


@dataclass(frozen=True, slots=True)
class ModelProcess:
    """A process that runs a model's Python code: one an instance."""

    model: str
    pid: int


def model_processes(server_pid: int) -> list[ModelProcess]:
    """Processes of a server's Python models; empty when the server is gone. Ensembles have none."""
    try:
        children = psutil.Process(server_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return list(_model_processes(children))


def log_tail(path: Path, num_lines: int) -> list[str]:
    """The last lines of a file; none when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-num_lines:]
    except OSError:
        return []


def _model_processes(children: Sequence[psutil.Process]) -> Iterator[ModelProcess]:
    """The stub's first argument is the path of its model.py: .../MODEL/VERSION/model.py."""
    for child in children:
        try:
            words = child.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(Path(word).name == _STUB_NAME for word in words[:1]) and len(words) > 1:
            yield ModelProcess(Path(words[1]).parent.parent.name, child.pid)


def _kill_left_over(models: Sequence[ModelProcess]) -> None:
    """Kill model processes that outlived their server."""
    for model in models:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(model.pid)
            if Path((process.cmdline() or [""])[0]).name == _STUB_NAME:
                process.kill()
