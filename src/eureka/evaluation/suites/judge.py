"""A language model that reads what the model under test wrote, behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eureka.errors import InvalidInputError, StageUnavailableError, UnauthenticatedError

RETRIED_STATUS = (408, 409, 425, 429, 500, 502, 503, 504)
"""HTTP answers after which the same question may be asked again."""


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Where a judge is, and how it is asked.

    Attributes:
        base_url: up to and with the version, such as http://127.0.0.1:8000/v1.
        model: name of the model.
        key: bearer token; empty sends none.
        max_tokens: of an answer, its reasoning included.
        timeout_seconds: of one call.
        attempts: calls for one question, the first included.
        pause_seconds: before the second call; doubled before each further one.
    """

    base_url: str
    model: str
    key: str = ""
    max_tokens: int = 2_048
    timeout_seconds: float = 120.0
    attempts: int = 6
    pause_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise InvalidInputError(
                f"the judge's URL must begin with http:// or https://, not {self.base_url!r}"
            )


class Judge:
    """Asks one question a call, greedily; holds no state. `sleep` waits between calls."""

    def __init__(self, config: JudgeConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config = config
        self._sleep = sleep

    @property
    def identity(self) -> dict[str, str]:
        """What judges."""
        return {"judge": self._config.model, "judge_url": self._config.base_url}

    def ask(self, prompt: str) -> str:
        """The answer to one prompt.

        Raises:
            UnauthenticatedError: the key was refused.
            InvalidInputError: reason JUDGE_REFUSED: the endpoint does not take the call.
            StageUnavailableError: reason JUDGE_UNAVAILABLE: no answer came after all attempts.
        """
        pause, why = self._config.pause_seconds, ""
        for attempt in range(self._config.attempts):
            if attempt:
                self._sleep(pause)
                pause *= 2
            try:
                return _content(self._call(prompt))
            except urllib.error.HTTPError as error:
                why = self._refused(error)
                pause = max(pause, _seconds_asked(error))
            except (OSError, ValueError) as error:
                why = str(error)
        message = (
            f"the judge at {self._config.base_url} gave no answer after {self._config.attempts} calls: {why}"
        )
        raise StageUnavailableError(message, reason="JUDGE_UNAVAILABLE")

    def _call(self, prompt: str) -> Any:
        body = {
            "model": self._config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": self._config.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if self._config.key:
            headers["Authorization"] = f"Bearer {self._config.key}"
        url = self._config.base_url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self._config.timeout_seconds) as response:
            return json.load(response)

    def _refused(self, error: urllib.error.HTTPError) -> str:
        """Why to try again; raises where that cannot help."""
        with error:
            said = error.read(300).decode("utf-8", "replace")
        if error.code in (401, 403):
            raise UnauthenticatedError(f"the judge refuses the key: {error.code} {said}") from error
        if error.code not in RETRIED_STATUS:
            raise InvalidInputError(
                f"the judge answers {error.code}: {said}", reason="JUDGE_REFUSED"
            ) from error
        return f"{error.code} {said}"


def _seconds_asked(error: urllib.error.HTTPError) -> float:
    """What the endpoint itself asks to wait, at most a minute."""
    asked = error.headers.get("Retry-After", "") if error.headers else ""
    return min(60.0, float(asked)) if asked.replace(".", "", 1).isdigit() else 0.0


def _content(response: Any) -> str:
    try:
        content = response["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the answer holds no message: {str(response)[:200]}") from error
    return str(content or "")
