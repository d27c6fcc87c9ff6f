"""Timing of steps, on an engine that computes nothing and a clock that is the engine's own count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pace import sides
from pace.sides import Asked, bare_step_seconds, engine_step_seconds, generate

from eureka.engine.backend import Prefill
from eureka.engine.engine import Engine
from eureka.text.prompts import Prompt

VOCABULARY, WIDTH, CONTEXT = 16, 4, 96


class TickingBackend:
    """Each decode takes one second of `now`, each prefill a thousand."""

    vocab_size, embedding_width, context_tokens = VOCABULARY, WIDTH, CONTEXT

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.now = 0.0
        self.held: set[int] = set()

    def prefill(self, prefills: Sequence[Prefill]) -> np.ndarray:
        self.now += 1000.0
        self.held |= {prefill.slot for prefill in prefills}
        return np.eye(VOCABULARY, dtype=np.float32)[[1] * len(prefills)]

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> np.ndarray:
        self.now += 1.0
        assert set(slots) <= self.held
        return np.eye(VOCABULARY, dtype=np.float32)[[(i + 1) % VOCABULARY for i in token_ids]]

    def release(self, slot: int) -> None:
        self.held.discard(slot)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> TickingBackend:
    ticking = TickingBackend(num_slots=3)
    monkeypatch.setattr(sides.time, "process_time", lambda: ticking.now)
    return ticking


def _asked(length: int) -> Asked:
    ids = np.zeros(length, dtype=np.int64)
    return Asked(Prompt(ids, np.zeros_like(ids)), np.zeros((0, WIDTH), dtype=np.float32))


def _engine(backend: TickingBackend) -> Engine:
    return Engine(backend, VOCABULARY, repetition_penalty=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3])
def test_step_of_an_engine_is_counted_without_its_prefill(backend: TickingBackend, count: int) -> None:
    engine = _engine(backend)
    assert engine_step_seconds(engine, [_asked(5)] * count, 8) == pytest.approx(1.0)
    assert not backend.held
    assert engine.stats().num_running == 0


def test_bare_step_is_counted_without_its_prefill(backend: TickingBackend) -> None:
    assert bare_step_seconds(backend, [_asked(5)] * 2, 8) == 1.0  # type: ignore[arg-type]
    assert not backend.held


def test_generate_gives_exactly_so_many_tokens(backend: TickingBackend) -> None:
    assert generate(_engine(backend), _asked(5), 4) == [1, 2, 3, 4]
