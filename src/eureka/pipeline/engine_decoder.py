"""TextDecoder over an engine of this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eureka.engine.engine import Engine
from eureka.engine.request import Delta, Label, LabelScores, Request


class EngineDecoder:
    """Submits to `engine`; each caller takes the steps itself unless a runner drives them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def generate(self, request: Request) -> Iterator[Delta]:
        """Deltas of one request; a caller that stops listening cancels it."""
        handle = self._engine.submit(request)
        try:
            yield from handle
        finally:
            handle.cancel()

    def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        """Scores of a closed set of answers."""
        return self._engine.score(request, labels)
