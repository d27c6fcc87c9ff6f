"""A TCP proxy between a client and a real server, to take the server away or to cut its answers."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress


class TcpProxy:
    """Passes connections on to `target`, until it is told otherwise; listens on a free port of loopback.

    Args:
        target: the real server.
        tls: what callers are spoken to with; None is plain text.
        is_mute: take connections and never say anything.
    """

    def __init__(
        self, target: tuple[str, int], tls: ssl.SSLContext | None = None, *, is_mute: bool = False
    ) -> None:
        self._target = target
        self._tls = tls
        self._is_mute = is_mute
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after_bytes: int | None = None
        self.num_cuts = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        """Refuse new connections and end those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            _close(one)
        self._open.clear()

    def come_back(self) -> None:
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut_next_answer(self, after_bytes: int) -> None:
        """End the next connection that has answered so many bytes."""
        self.cut_after_bytes = after_bytes

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._open.append(near)
                if not self._is_mute:
                    threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._target)
            self._open += [near, far]
            threading.Thread(target=self._answer, args=(far, near), daemon=True).start()
            self._ask(near, far)

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while piece := near.recv(65_536):
                far.sendall(piece)
        _close(near)
        _close(far)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        num_bytes = 0
        with suppress(OSError):
            while piece := far.recv(65_536):
                num_bytes += len(piece)
                if self.cut_after_bytes is not None and num_bytes > self.cut_after_bytes:
                    self.cut_after_bytes = None
                    self.num_cuts += 1
                    break
                near.sendall(piece)
        _close(near)
        _close(far)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
