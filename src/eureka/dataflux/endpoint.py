"""An OpenAI-compatible endpoint: one call at a time with retries, a rate limit and a budget."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from eureka.dataflux.budget import Ledger
from eureka.errors import (
    EurekaError,
    InvalidInputError,
    PermissionDeniedError,
    StageUnavailableError,
    UnauthenticatedError,
)

TRIED_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass."""

NOT_BILLED = frozenset({429, 500, 502, 503})
"""Statuses after which nothing was generated; after time-outs and cuts the reservation stays spent."""

MAX_PAUSE_SECONDS = 60.0

LAYOUT_TOKENS = 64
"""Room for a chat template around each message."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where the endpoint is and how it is called.

    Attributes:
        base_url: up to and with /v1.
        api_key: bearer token; empty sends none.
        timeout_seconds: of one attempt.
        max_attempts: at one call.
        first_pause_seconds: doubled after each failure, half of it drawn by chance.
        requests_per_minute: attempts that start in a minute; 0 is no limit.
        audio_tokens_per_second: most that a second of audio counts.
    """

    base_url: str
    api_key: str = ""
    timeout_seconds: float = 120.0
    max_attempts: int = 6
    first_pause_seconds: float = 1.0
    requests_per_minute: float = 0.0
    audio_tokens_per_second: float = 50.0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked.

    Attributes:
        model: name at the endpoint.
        messages: in the form of the API.
        schema: JSON schema of the answer, with its name.
        temperature: of sampling.
        max_tokens: of the answer.
        audio_seconds: of all audio parts.
        seed: of sampling.
    """

    model: str
    messages: tuple[Message, ...]
    schema: tuple[str, Mapping[str, Any]]
    temperature: float
    max_tokens: int
    audio_seconds: float = 0.0
    seed: int = 1

    @property
    def body(self) -> dict[str, Any]:
        """The request as the API takes it."""
        name, schema = self.schema
        return {
            "model": self.model,
            "messages": list(self.messages),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": name, "strict": True, "schema": schema},
            },
        }


class Endpoint:
    """Calls the endpoint; for threads.

    Args:
        config: see there.
        ledger: has room for each attempt, or the call is refused.
        pause: waits so many seconds.
    """

    def __init__(
        self, config: EndpointConfig, ledger: Ledger, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._config, self._ledger, self._pause = config, ledger, pause
        headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._client = httpx.Client(
            base_url=config.base_url.rstrip("/") + "/", headers=headers, timeout=config.timeout_seconds
        )
        self._starts = _Starts(config.requests_per_minute, pause)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def complete(self, request: ChatRequest) -> str:
        """The text of the answer.

        Raises:
            BudgetSpentError: no room for the next attempt.
            StageUnavailableError: reason ENDPOINT_UNAVAILABLE; every attempt failed.
            EurekaError: the endpoint refuses the request; trying again would not help.
        """
        for attempt in range(1, self._config.max_attempts + 1):
            self._starts.wait()
            try:
                return self._attempt(request)
            except _PassingError as failure:
                if attempt == self._config.max_attempts:
                    message = f"{self._config.base_url} failed {attempt} times, at last: {failure}"
                    raise StageUnavailableError(message, reason="ENDPOINT_UNAVAILABLE") from failure
                self._pause(self._pause_after(attempt, failure))
        raise AssertionError("there is at least one attempt")

    def _attempt(self, request: ChatRequest) -> str:
        prompt = prompt_tokens(request, self._config.audio_tokens_per_second)
        with self._ledger.call(prompt, request.max_tokens) as call:
            try:
                response = self._client.post("chat/completions", json=request.body)
            except httpx.ConnectError as error:
                call.prompt_tokens = call.generated_tokens = 0  # nothing was sent
                raise _PassingError(f"no connection ({type(error).__name__})") from error
            except httpx.HTTPError as error:
                raise _PassingError(type(error).__name__) from error
            if response.status_code != 200:
                if response.status_code in NOT_BILLED or 400 <= response.status_code < 500:
                    call.prompt_tokens = call.generated_tokens = 0
                raise _refusal(response)
            text, used = _read(response)
            if used is not None:
                call.prompt_tokens, call.generated_tokens = used
            return text

    def _pause_after(self, attempt: int, failure: _PassingError) -> float:
        own = min(self._config.first_pause_seconds * 2.0 ** (attempt - 1), MAX_PAUSE_SECONDS)
        return max(own * random.uniform(0.5, 1.0), failure.retry_after_seconds)


def prompt_tokens(request: ChatRequest, audio_tokens_per_second: float) -> int:
    """The most tokens that a prompt can take: a token is a byte at least.

    The schema counts, too: some endpoints write it into the prompt.
    """
    num_bytes = len(json.dumps(request.schema[1]).encode())
    for message in request.messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        num_bytes += LAYOUT_TOKENS
        num_bytes += sum(len(part["text"].encode()) for part in parts if part["type"] == "text")
    return num_bytes + round(request.audio_seconds * audio_tokens_per_second + 0.5)


class _PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Starts:
    """Keeps attempts apart, so that no more than so many start in a minute."""

    def __init__(self, per_minute: float, pause: Callable[[float], None]) -> None:
        self._gap_seconds = 60.0 / per_minute if per_minute else 0.0
        self._pause = pause
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._gap_seconds
        if start > now:
            self._pause(start - now)


def _refusal(response: httpx.Response) -> Exception:
    status = response.status_code
    said = response.text[:300]
    if status in TRIED_AGAIN:
        return _PassingError(f"status {status}", _retry_after(response))
    message = f"the endpoint answers {status}: {said}"
    kinds: dict[int, type[EurekaError]] = {401: UnauthenticatedError, 403: PermissionDeniedError}
    return kinds.get(status, InvalidInputError)(message, reason=f"ENDPOINT_ANSWERS_{status}")


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(0.0, float(response.headers.get("retry-after", "0"))), MAX_PAUSE_SECONDS)
    except ValueError:  # a date; our own pause will do
        return 0.0


def _read(response: httpx.Response) -> tuple[str, tuple[int, int] | None]:
    """Text of the answer, and tokens of prompt and answer where they are told."""
    try:
        plain = response.json()
        text = plain["choices"][0]["message"]["content"] or ""
        usage = plain.get("usage") or {}
        used = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _PassingError("an answer that is not of the API") from error
    prompt, generated = used
    if isinstance(prompt, int) and isinstance(generated, int) and min(prompt, generated) >= 0:
        return str(text), (prompt, generated)
    return str(text), None


def text_message(role: str, text: str) -> Message:
    """A message of text."""
    return {"role": role, "content": text}


def heard_message(text: str, wav: str) -> Message:
    """A user's message of audio (WAV in base64) and text."""
    audio = {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}
    return {"role": "user", "content": [audio, {"type": "text", "text": text}]}


def with_repair(messages: Sequence[Message], said: str, problem: str) -> tuple[Message, ...]:
    """The conversation after an answer that was not what was asked for."""
    return (*messages, text_message("assistant", said), text_message("user", problem))
