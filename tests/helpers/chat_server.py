"""A small HTTP server with the chat interface of OpenAI: a judge by rule, which can be told to fail first.

It answers what a caption supports: the option whose words the caption holds. So a test that reads its answers
also sees whether caption, question and options came through.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CAPTION = re.compile(r'\[Audio Caption\]: "(.*?)"\n', re.DOTALL)
_OPTION = re.compile(r"^([A-Z])\. (.+?)\"?$", re.MULTILINE)


@dataclass(slots=True)
class ChatServer:
    """What the server saw, and what it does first.

    Attributes:
        url: base URL, up to the version.
        faults: one a call: an HTTP status, `garbage` (no JSON), `empty` (JSON without a message), or `cut`
            (closes the connection).
        bodies: of all calls.
        keys: their Authorization headers.
    """

    url: str = ""
    faults: list[int | str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def supported_option(prompt: str) -> str:
    """The answer by rule: the only option whose words stand in the caption, else none."""
    match = _CAPTION.search(prompt)
    caption = match[1].lower() if match else ""
    found = [f"{letter}. {text}" for letter, text in _OPTION.findall(prompt) if text.lower() in caption]
    return f"The caption was read.\nAnswer: {found[0] if len(found) == 1 else 'none is supported'}"


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server on a free port of this machine, until the block ends."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.bodies.append(body)
                state.keys.append(self.headers.get("Authorization"))
                fault = state.faults.pop(0) if state.faults else None
            if self.path != "/v1/chat/completions":
                fault = 404
            self._answer(fault, body["messages"][0]["content"])

        def _answer(self, fault: int | str | None, prompt: str) -> None:
            if fault == "cut":
                self.close_connection = True
                return
            status = fault if isinstance(fault, int) else 200
            message = {"choices": [{"message": {"role": "assistant", "content": supported_option(prompt)}}]}
            content = {"garbage": b"<html>", "empty": b"{}"}.get(str(fault), json.dumps(message).encode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
