"""A real S3 server for tests: Ceph's radosgw over one monitor and one OSD that lives in memory.

Everything lies in one folder: configuration, keys, pid files, logs. The daemons fork; they are ended by their
pid files. `shared_radosgw` gives all processes of a test run the same one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
"""From the Debian packages radosgw, ceph-mon and ceph-osd."""

ACCESS_KEY, SECRET_KEY = "tests", "secret-of-the-tests"
START_SECONDS = 60.0
MEMORY_BYTES = 1 << 30
"""Bytes that the store of the OSD claims to have."""

CONFIG = """[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
admin socket =
pid file = {folder}/$name.pid
log file = {folder}/$name.log
log to stderr = false
crash dir = {folder}/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = {memory_bytes}
osd heartbeat grace = 60
ms bind port min = {osd_port_min}
ms bind port max = {osd_port_max}
rgw data = {folder}/rgw
rgw thread pool size = 16
rgw lc debug interval = -1
rgw enable usage log = false
rgw enable ops log = false
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where a server listens, and who may come in."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY


class Radosgw:
    """Starts the daemons in an empty folder.

    Args:
        folder: of everything.
        host: where the gateway listens.
        port: likewise; 0 picks a free one.
        access_key: of the user that is made.
        secret_key: likewise.

    Raises:
        FileNotFoundError: a program is not installed.
    """

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
    ) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise FileNotFoundError(
                f"not installed: {', '.join(missing)} (Debian: radosgw ceph-mon ceph-osd)"
            )
        self._folder = folder
        self._host, self._keys = host, (access_key, secret_key)
        self._mon_port, free = _free_ports(2)
        self.port = port or free

    def start(self) -> S3Server:
        """Start everything and wait until it answers; what was started is ended where that fails."""
        try:
            self._write_config()
            self._start_monitor()
            self._start_osd()
            self._start_gateway()
        except BaseException:
            kill_daemons(self._folder)
            raise
        return S3Server(f"http://127.0.0.1:{self.port}", *self._keys)

    def _write_config(self) -> None:
        for name in ("mon", "osd", "rgw", "crash"):
            (self._folder / name).mkdir()
        text = CONFIG.format(
            fsid=uuid.uuid4(),
            folder=self._folder,
            mon_port=self._mon_port,
            memory_bytes=MEMORY_BYTES,
            osd_port_min=20_000,
            osd_port_max=32_000,  # below the ports that the system gives to clients
        )
        (self._folder / "ceph.conf").write_text(text)

    def _start_monitor(self) -> None:
        keyring, all_caps = (
            str(self._folder / "keyring"),
            ("--cap", "osd", "allow *", "--cap", "mgr", "allow *"),
        )
        for name in ("mon.", "client.admin", "osd.0", "client.rgw"):
            mon_caps = "allow rwx" if name == "client.rgw" else "allow *"
            create = ["--create-keyring"] if name == "mon." else []
            caps = ["--cap", "mon", mon_caps, *all_caps]
            _run("ceph-authtool", keyring, *create, "--gen-key", "-n", name, *caps)
        monmap, conf = str(self._folder / "monmap"), self._conf
        fsid = uuid.UUID((self._folder / "ceph.conf").read_text().split("fsid = ")[1].split()[0])
        address = f"[v2:127.0.0.1:{self._mon_port}]"
        _run("monmaptool", "--create", "--addv", "a", address, "--fsid", str(fsid), monmap)
        _run("ceph-mon", *conf, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        _run("ceph-mon", *conf, "-i", "a")

    def _start_osd(self) -> None:
        osd_uuid = str(uuid.uuid4())
        _run("ceph", *self._conf, "osd", "new", osd_uuid)
        _run("ceph-osd", *self._conf, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        _run("ceph-osd", *self._conf, "-i", "0")
        _wait(lambda: "1 up" in _run("ceph", *self._conf, "osd", "stat"), "the OSD")

    def _start_gateway(self) -> None:
        # Without tcp_nodelay every answer with a body waits 40 ms for the client's acknowledgement.
        endpoint = f"--rgw-frontends=beast endpoint={self._host}:{self.port} tcp_nodelay=1"
        _run("radosgw", *self._conf, "-n", "client.rgw", endpoint)
        access_key, secret_key = self._keys
        user = ["--uid", "tests", "--display-name", "tests"]
        user += ["--access-key", access_key, "--secret", secret_key]
        _run("radosgw-admin", *self._conf, "-n", "client.rgw", "user", "create", *user)
        _wait(lambda: _answers(self.port), "radosgw")

    @property
    def _conf(self) -> list[str]:
        return ["-c", str(self._folder / "ceph.conf")]


@contextmanager
def shared_radosgw(folder: Path) -> Iterator[S3Server]:
    """The server in `folder`: the first process to ask starts it, the last to leave ends it, even if killed.

    Who comes or goes holds `gate` alone; all who are there hold `users` together, and each has a guard that
    waits for its end.
    """
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, str(folder)]
    guard = subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True
    )  # reads until we are gone
    with guard, (folder / "users").open("w") as users:
        with _gate(folder):
            fcntl.flock(users, fcntl.LOCK_SH)
            server = _started(folder)
        yield server


def _end_without_users(folder: Path) -> None:
    """What a guard does in the end."""
    with (folder / "users").open("w") as users, _gate(folder), suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _end(folder)


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    with (folder / "gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _started(folder: Path) -> S3Server:
    """The running server, or a new one in a folder of its own."""
    address = _address_file(folder)
    if not address.exists():
        shutil.rmtree(folder / "ceph", ignore_errors=True)
        (folder / "ceph").mkdir()
        server = Radosgw(folder / "ceph").start()
        address.write_text(server.endpoint)
    return S3Server(address.read_text())


def _end(folder: Path) -> None:
    _address_file(folder).unlink(missing_ok=True)
    kill_daemons(folder / "ceph")
    shutil.rmtree(folder / "ceph", ignore_errors=True)


def _address_file(folder: Path) -> Path:
    return folder / "address"


def kill_daemons(folder: Path) -> None:
    """Kill what runs in the folder, by the pid files, the gateway first."""
    for name in ("client.rgw", "osd.0", "mon.a"):
        with suppress(FileNotFoundError, ValueError):
            _kill(int((folder / f"{name}.pid").read_text()))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr[-2_000:]}"
    return done.stdout + done.stderr


def _wait(is_ready: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if is_ready():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not come up in {START_SECONDS:.0f} s")


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _kill(pid: int) -> None:
    """All is thrown away, and an orderly end takes seconds."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        while _is_running(pid):
            time.sleep(0.02)


def _is_running(pid: int) -> bool:
    """A killed orphan that nobody waits for stays as a zombie in some containers; it runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    sys.stdin.read()
    _end_without_users(Path(sys.argv[1]))
