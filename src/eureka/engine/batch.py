"""Many requests through one engine, always keeping its slots full; for evaluation and offline work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eureka.engine.engine import Engine
from eureka.engine.handle import RequestHandle
from eureka.engine.request import Request
from eureka.types import Ending, Usage


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished request: all its tokens and how it ended."""

    request_id: str
    token_ids: tuple[int, ...]
    ending: Ending
    usage: Usage


def generate_all(engine: Engine, requests: Iterable[Request]) -> Iterator[Generation]:
    """Run requests and yield each as it ends, in order of ending.

    As many requests wait as there are slots, no more, so `requests` may be a generator of any length
    that makes its embeddings as it goes. Takes the engine's steps itself.
    """
    source = iter(requests)
    handles: list[RequestHandle] = []
    tokens: dict[str, list[int]] = {}
    is_dry = False
    max_ahead = min(engine.backend.num_slots, engine.limits.max_waiting)
    while handles or not is_dry:
        while not is_dry and engine.stats().num_waiting < max_ahead:
            request = next(source, None)
            if request is None:
                is_dry = True
            else:
                handles.append(engine.submit(request))
                tokens[request.request_id] = []
        engine.step()
        ended = [generation for handle in handles if (generation := _drain(handle, tokens))]
        handles = [handle for handle in handles if handle.request_id in tokens]
        yield from ended


def _drain(handle: RequestHandle, tokens: dict[str, list[int]]) -> Generation | None:
    """Take what is there; the generation if that was its end."""
    while (delta := handle.take()) is not None:
        tokens[handle.request_id] += delta.token_ids
        if delta.ending is not None and delta.usage is not None:
            return Generation(
                handle.request_id, tuple(tokens.pop(handle.request_id)), delta.ending, delta.usage
            )
    return None
