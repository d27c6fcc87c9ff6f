"""RequestHandle: the caller's end of a running request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from eureka.engine.request import Delta, LabelScores
from eureka.errors import CancelledError, EurekaError
from eureka.types import Ending


class RequestHandle:
    """Yields the deltas of one request; the last one carries the ending.

    Args:
        request_id: the request's id.
        advance: called while nothing is there to yield; takes a step, or waits for the thread that does.
        cancel: ends the request.
    """

    def __init__(
        self,
        request_id: str,
        advance: Callable[[RequestHandle], None],
        cancel: Callable[[str], bool],
    ) -> None:
        self.request_id = request_id
        self.scores: LabelScores | None = None
        self._advance = advance
        self._cancel = cancel
        self._deltas: deque[Delta] = deque()
        self._ending: Ending | None = None
        self._changed = threading.Condition()

    @property
    def ending(self) -> Ending | None:
        """How the request ended; None while it waits or runs."""
        return self._ending

    def __iter__(self) -> Iterator[Delta]:
        """Deltas as they come, up to and with the one that carries the ending."""
        while True:
            # Looked at first: the ending may be put between an empty look and this question.
            has_ended = self._ending is not None
            delta = self.take()
            if delta is None:
                if has_ended:
                    return
                self._advance(self)
                continue
            yield delta
            if delta.ending is not None:
                return

    def take(self) -> Delta | None:
        """The next delta that is there already, without waiting."""
        with self._changed:
            return self._deltas.popleft() if self._deltas else None

    def wait(self, timeout_seconds: float) -> None:
        """Sleep until there is a delta or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._deltas), timeout_seconds)

    def cancel(self) -> bool:
        """End the request with CANCELLED; False if it has ended already."""
        return self._cancel(self.request_id)

    def put(self, delta: Delta) -> None:
        """Engine's side: add a delta. Nothing may follow the ending."""
        with self._changed:
            assert self._ending is None, f"request {self.request_id} has ended already"
            self._ending = delta.ending
            self._deltas.append(delta)
            self._changed.notify_all()

    def wait_for_scores(self) -> LabelScores:
        """Result of a closed-set request.

        Raises:
            CancelledError: it was cancelled (CANCELLED) or came too late (DEADLINE_EXCEEDED).
            EurekaError: the backend failed.
        """
        for _ in self:
            pass
        if self.scores is not None:
            return self.scores
        if self._ending is Ending.DEADLINE:
            raise CancelledError(f"request {self.request_id}: deadline passed", reason="DEADLINE_EXCEEDED")
        if self._ending is Ending.CANCELLED:
            raise CancelledError(f"request {self.request_id} was cancelled")
        raise EurekaError(f"request {self.request_id}: scoring failed")
