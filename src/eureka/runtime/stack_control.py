"""How commands ask the supervisor of a local stack for something: a Unix socket in the stack's folder.

One JSON object a line and direction: {"renew": NAME}, then {"pid": PID} or {"reason": ..., "message": ...}.
Only the user who runs the stack may connect.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from eureka.errors import EurekaError, InvalidInputError, StageUnavailableError, WrongStateError

SOCKET = "stack.sock"

_MAX_REQUEST_BYTES = 4_096

_OURS_ONLY = 0o177
"""Mask of the socket's rights: reading and writing for its owner."""

Renew = Callable[[str], Awaitable[int | None]]
"""Puts a new process in the place of a component's; the new one's id."""


@asynccontextmanager
async def control_socket(folder: Path, renew: Renew) -> AsyncIterator[None]:
    """Listen for commands inside the block; only for whoever holds the lock of the folder."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # who asked has gone
            writer.write(json.dumps(await _answer(await reader.readline(), renew)).encode() + b"\n")
            await writer.drain()
        writer.close()

    (folder / SOCKET).unlink(missing_ok=True)
    with _short_path(folder) as path:
        server = await asyncio.start_unix_server(serve, sock=_bound(path), limit=_MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        (folder / SOCKET).unlink(missing_ok=True)


def ask_renew(folder: Path, name: str, limit_seconds: float) -> int | None:
    """Have the supervisor renew a component; the id of the new process.

    Raises:
        WrongStateError: reason STACK_NOT_RUNNING; nobody listens.
        StageUnavailableError: reason NO_ANSWER; it took too long, or the supervisor ended meanwhile.
        EurekaError: what the supervisor said.
    """
    try:
        answer = _asked(folder, {"renew": name}, limit_seconds)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        message = f"no stack is running in {folder}; `eureka up` starts one"
        raise WrongStateError(message, reason="STACK_NOT_RUNNING") from error
    except (OSError, ValueError) as error:
        message = f"the supervisor did not say what became of {name} within {limit_seconds:g} s: {error}"
        raise StageUnavailableError(message, reason="NO_ANSWER") from error
    if "reason" in answer:
        raise EurekaError(answer["message"], reason=answer["reason"])
    pid: int | None = answer["pid"]
    return pid


def _asked(folder: Path, request: dict[str, str], limit_seconds: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection, _short_path(folder) as path:
        connection.settimeout(limit_seconds)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as answer:
            line = answer.readline()
    if not line:
        raise OSError("the supervisor ended")
    found: dict[str, Any] = json.loads(line)
    return found


async def _answer(line: bytes, renew: Renew) -> dict[str, Any]:
    try:
        return {"pid": await renew(_name_in(line))}
    except EurekaError as error:
        return {"reason": error.reason, "message": error.message}
    except asyncio.CancelledError:
        return {"reason": "STACK_STOPPING", "message": "the stack goes down"}


def _name_in(line: bytes) -> str:
    try:
        return str(json.loads(line)["renew"])
    except (ValueError, KeyError, TypeError) as error:
        message = 'the supervisor takes one line, {"renew": NAME}'
        raise InvalidInputError(message, reason="INVALID_REQUEST") from error


def _bound(path: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    mask = os.umask(_OURS_ONLY)
    try:
        bound.bind(path)
    finally:
        os.umask(mask)
    return bound


@contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """The socket's path by an open folder: addresses of sockets hold 107 bytes, folders may lie deeper."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
