"""A proxy before an OpenAI-compatible server that makes it fail on purpose.

A text model takes no audio: audio parts are checked to be WAV and taken out before the request goes on.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import urllib.request
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("429", "500", "timeout", "broken", "cut", "off_contract")


class FaultyEndpoint:
    """Counts what comes and what is generated, and spoils requests by a plan.

    Attributes:
        plan: fault or "" of each request in turn; after its end all goes well.
        sleep_seconds: how long a time-out lasts.
        seen: requests by what was done to them; "" where nothing was.
        tokens: that the real server generated and read, also for answers that got lost.
        audio_seconds: of all audio that came.
    """

    def __init__(self, target: str, plan: list[str] | None = None, sleep_seconds: float = 1.0) -> None:
        self.target, self.plan, self.sleep_seconds = target, list(plan or []), sleep_seconds
        self.seen: Counter[str] = Counter()
        self.tokens = 0
        self.audio_seconds = 0.0
        self._lock = threading.Lock()

    def next_fault(self) -> str:
        """What is done to the next request."""
        with self._lock:
            fault = self.plan.pop(0) if self.plan else ""
            self.seen[fault] += 1
            return fault

    def forwarded(self, body: dict[str, Any]) -> bytes:
        """The real server's answer."""
        for message in body["messages"]:
            if isinstance(message["content"], list):
                self._hear(message["content"])
                texts = [part["text"] for part in message["content"] if part["type"] == "text"]
                message["content"] = "\n".join(texts)
        request = urllib.request.Request(
            f"{self.target}/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            content: bytes = response.read()
        with self._lock:
            self.tokens += json.loads(content)["usage"]["total_tokens"]
        return content

    def _hear(self, parts: list[dict[str, Any]]) -> None:
        for part in parts:
            if part["type"] == "input_audio":
                sound = base64.b64decode(part["input_audio"]["data"], validate=True)
                with wave.open(io.BytesIO(sound)) as reader, self._lock:
                    assert reader.getframerate() == 16_000
                    self.audio_seconds += reader.getnframes() / 16_000


@contextmanager
def serving(endpoint: FaultyEndpoint) -> Iterator[str]:
    """The base URL of the proxy."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            _answer(self, endpoint, body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A caller that gave up is what some of the faults are for."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, endpoint: FaultyEndpoint, body: dict[str, Any]) -> None:
    fault = endpoint.next_fault()
    if fault in ("429", "500"):
        _send(handler, int(fault), b'{"error": {"message": "not now"}}', {"retry-after": "0"})
        return
    content = endpoint.forwarded(body)
    if fault == "timeout":
        time.sleep(endpoint.sleep_seconds)
    if fault == "broken":
        content = content[: len(content) // 2]
    if fault == "off_contract":
        plain = json.loads(content)
        plain["choices"][0]["message"]["content"] = '{"think": 7}'
        content = json.dumps(plain).encode()
    if fault == "cut":
        handler.send_response(200)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
        return
    _send(handler, 200, content, {})


def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in ({"content-length": str(len(content))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
