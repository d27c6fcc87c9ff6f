"""The Triton of a stage."""

from __future__ import annotations

import functools
from typing import Protocol

from eureka.clients.triton import TritonClient, TritonOptions
from eureka.runtime.calls import current_traceparent
from eureka.runtime.settings_sections import StageSettings
from eureka.runtime.supervisor import SupervisedModel
from eureka.spans import NO_TRACER, Tracer


class Probing(Protocol):
    """Whoever can ask a model a tiny question."""

    async def probe(self, model: str) -> None:
        """A tiny real inference; raises what went wrong."""


def open_triton(section: StageSettings, tracer: Tracer = NO_TRACER) -> TritonClient:
    """A client of the Triton that a section names; close it with `async with`.

    Its inferences are spans of the call that is served.
    """
    options = TritonOptions(transport=section.transport, idle_timeout_seconds=section.idle_timeout_seconds)
    return TritonClient(section.triton_target, options, tracer, current_traceparent)


def supervised(triton: Probing, model: str) -> SupervisedModel:
    """A model of `triton` with its probe."""
    return SupervisedModel(model, functools.partial(triton.probe, model))
