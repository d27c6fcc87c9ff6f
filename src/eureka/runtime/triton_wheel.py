"""The Triton server inside the wheel of nvidia-pytriton: where it is, if it runs here, how to call it.

Only the server and its Python backend are used, not the wheel's own interface.
"""

from __future__ import annotations

import os
import platform
import py_compile
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from eureka.errors import StageUnavailableError

_BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")
_STUB = "triton_python_backend_stub"
LOOPBACK = "127.0.0.1"
_OLDEST_GLIBC = (2, 35)
"""The wheel is built as manylinux_2_35."""


@dataclass(frozen=True, slots=True)
class TritonWheel:
    """Folders of the wheel.

    Attributes:
        root: holds bin/tritonserver, the backends and a stub for each Python.
        libraries: the wheel's own shared libraries.
    """

    root: Path
    libraries: Path

    @property
    def stub(self) -> Path:
        """The program that runs a model.py under this Python."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return self.root / "python_backend_stubs" / version / _STUB

    def build_backends(self, folder: Path) -> Path:
        """A backend directory in `folder` with this Python's stub.

        Files are copied: links would be followed by the run path inside them, back to the wheel.
        """
        backend = folder / "backends" / "python"
        backend.mkdir(parents=True, exist_ok=True)
        for name in _BACKEND_FILES:
            shutil.copy2(self.root / "backends" / "python" / name, backend / name)
        shutil.copy2(self.stub, backend / _STUB)
        (backend / _STUB).chmod(0o755)
        return backend.parent

    def environment(self) -> dict[str, str]:
        """The environment for the server and its model processes.

        Without the library path the server hangs; without this PATH its model processes silently use the
        packages of another Python.
        """
        own = {
            "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{self.libraries}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        }
        return {**os.environ, **model_environment(), **own}

    def arguments(
        self,
        backends: Path,
        repository: Path,
        ports: Sequence[int],
        host: str = LOOPBACK,
        metrics_host: str = LOOPBACK,
    ) -> list[str]:
        """Command line of a server with explicit model control; ports: http, grpc, metrics."""
        return [
            str(self.root / "bin" / "tritonserver"),
            f"--backend-directory={backends}",
            f"--cache-directory={self.root / 'caches'}",
            *server_options(repository, ports, host, metrics_host),
            "--allow-gpu-metrics=false",
            "--allow-cpu-metrics=false",
        ]


def copy_repository(repository: Path, folder: Path) -> Path:
    """A copy of a model repository in `folder`, byte code included.

    Model processes write byte code whatever the environment says. Byte code that appears later would
    count as a change, and loading an ensemble would start its members anew (server#7489).
    """
    copy = folder / "model_repo"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for source in copy.glob("*/*/*.py"):
        py_compile.compile(str(source), doraise=True)
    return copy


def model_environment() -> dict[str, str]:
    """What model processes get beside ours.

    Threads of OpenMP, in several processes on few cores, would wait for each other at full load.
    """
    return {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def server_options(
    repository: Path, ports: Sequence[int], host: str = LOOPBACK, metrics_host: str = LOOPBACK
) -> list[str]:
    """Options that every server of ours gets; ports: http, grpc, metrics."""
    http, grpc, metrics = ports
    return [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        # Completing would start each model's process twice; ours are complete.
        "--disable-auto-complete-config",
        f"--http-address={host}",
        f"--grpc-address={host}",
        f"--metrics-address={metrics_host}",
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
    ]


def find_triton_wheel() -> TritonWheel:
    """The wheel of this environment.

    Raises:
        StageUnavailableError: there is no Triton for this platform or Python, or it is not installed
            (TRITON_UNAVAILABLE); the message says what to do.
    """
    _check_platform()
    package = find_spec("pytriton")
    if package is None or package.origin is None:
        raise _unavailable("nvidia-pytriton is not installed; pip install 'eureka[triton]'")
    folder = Path(package.origin).parent
    wheel = TritonWheel(folder / "tritonserver", folder.parent / "nvidia_pytriton.libs")
    if not (wheel.root / "bin" / "tritonserver").is_file():
        raise _unavailable(f"nvidia-pytriton at {folder} holds no server; install 0.7.0 or later as a wheel")
    if not wheel.stub.is_file():
        raise _unavailable(
            f"nvidia-pytriton has no stub for Python {platform.python_version()}; use 3.11 or 3.12"
        )
    return wheel


def _check_platform() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise _unavailable(
            f"it exists for Linux on x86_64 only, this is {sys.platform} on {platform.machine()}"
        )
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_GLIBC:
        oldest = ".".join(map(str, _OLDEST_GLIBC))
        raise _unavailable(
            f"it needs glibc {oldest} or later, this system has {library or 'another libc'} {version}"
        )


def _unavailable(reason: str) -> StageUnavailableError:
    return StageUnavailableError(
        f"no Triton server here: {reason}. Without one, --local hears in this process",
        reason="TRITON_UNAVAILABLE",
    )
