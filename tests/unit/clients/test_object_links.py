"""Files over links: sent and fetched by HTTP, and what does not work is told as ours."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from eureka.clients.object_links import get_file, put_file
from eureka.errors import EurekaError, StageUnavailableError

CONTENT = bytes(range(256)) * 8_192
"""2 MiB, more than one piece."""


class Store(BaseHTTPRequestHandler):
    """Keeps what is put; /denied refuses."""

    objects: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/denied":
            self.send_error(403)
            return
        self.objects[self.path] = content
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        if self.path not in self.objects:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.objects[self.path])

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_file_goes_and_comes_by_links(address: str) -> None:
    put_file(f"{address}/a", io.BytesIO(CONTENT), len(CONTENT), 10, uses_proxy=False)
    assert Store.objects["/a"] == CONTENT
    fetched = io.BytesIO()
    get_file(f"{address}/a", fetched, 10, uses_proxy=False)
    assert fetched.getvalue() == CONTENT


def test_store_that_refuses_or_is_nowhere_is_told(address: str) -> None:
    for url in (f"{address}/denied", "http://127.0.0.1:9/a"):
        with pytest.raises(StageUnavailableError) as caught:
            put_file(url, io.BytesIO(b"abc"), 3, 10, uses_proxy=False)
        assert caught.value.reason == "LINK_FAILED"
    with pytest.raises(StageUnavailableError):
        get_file(f"{address}/none", io.BytesIO(), 10, uses_proxy=False)


def test_link_to_a_file_of_this_machine_is_refused() -> None:
    with pytest.raises(EurekaError) as caught:
        get_file("file:///etc/hostname", io.BytesIO(), 10, uses_proxy=False)
    assert caught.value.reason == "INVALID_LINK"
