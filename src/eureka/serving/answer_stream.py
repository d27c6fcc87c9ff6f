"""AnswerStream: one open answer on its way from the engine to its caller, several tokens at a time."""

from __future__ import annotations

import logging
from typing import Protocol

from eureka.engine.handle import RequestHandle
from eureka.engine.messages import join_deltas
from eureka.engine.request import Delta, LabelScores

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """The way to one caller. Each method may raise when the caller cannot be reached."""

    def send(self, delta: Delta, scores: LabelScores | None, is_final: bool) -> None:
        """Send new tokens; nothing may follow the final."""
        ...

    def fail(self, error: BaseException) -> None:
        """Send an error, which is final."""
        ...

    def is_cancelled(self) -> bool:
        """Whether the caller wants no more."""
        ...


class AnswerStream:
    """Gathers tokens of one request and sends them when it is time; used by one thread.

    Args:
        handle: of the request.
        sender: to its caller.
        sign_of_life_seconds: a stream that was quiet for so long gets an empty delta.
        now: when it was opened.
    """

    def __init__(
        self, handle: RequestHandle, sender: Sender, sign_of_life_seconds: float, now: float
    ) -> None:
        self.polled_time = now
        """When its caller was last asked whether it wants more."""
        self._handle = handle
        self._sender = sender
        self._sign_of_life_seconds = sign_of_life_seconds
        self._has_sent_tokens = False
        self._is_broken = False
        self._sent_time: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the engine is done with the request, though its last tokens may be here."""
        return self._handle.ending is not None

    def flush(self, now: float, flush_seconds: float) -> bool:
        """Send what is due at `now`; True once the final is out.

        Args:
            now: on the clock of `polled_time`.
            flush_seconds: least time between two sends, but for the first token and the ending.
        """
        if not self._is_due(now, flush_seconds):
            return False
        deltas = []
        while (delta := self._handle.take()) is not None:
            deltas.append(delta)
        if deltas:
            self._send(join_deltas(deltas), now)
            return deltas[-1].ending is not None
        if self._has_been_quiet(self._sign_of_life_seconds, now):
            self._send(Delta(), now)
        return False

    def poll(self, now: float) -> None:
        """Cancel the request if its caller wants no more."""
        self.polled_time = now
        try:
            if self._is_broken or self._sender.is_cancelled():
                self._handle.cancel()
        except Exception:
            self._break("cancellation_not_readable")

    def _is_due(self, now: float, flush_seconds: float) -> bool:
        is_urgent = not self._has_sent_tokens or self.has_ended
        return is_urgent or self._has_been_quiet(flush_seconds, now)

    def _has_been_quiet(self, seconds: float, now: float) -> bool:
        return self._sent_time is None or now - self._sent_time >= seconds

    def _send(self, delta: Delta, now: float) -> None:
        """Send; a stream that broke still gets its final, as the server waits for it."""
        is_final = delta.ending is not None
        if self._is_broken and not is_final:
            return
        try:
            self._sender.send(delta, self._handle.scores if is_final else None, is_final)
        except Exception:
            self._break("answer_not_sent")
        self._sent_time = now
        self._has_sent_tokens |= bool(delta.token_ids)

    def _break(self, event: str) -> None:
        if not self._is_broken:
            _log.warning(event, exc_info=True, extra={"request_id": self._handle.request_id})
        self._is_broken = True
        self._handle.cancel()
