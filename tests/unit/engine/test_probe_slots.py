"""Health probes have a slot that no other request takes, and places behind a full queue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Request
from eureka.errors import QueueFullError
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Ending, Priority
from tests.helpers.requests import END_TOKEN, make_request
from tests.helpers.sum_backend import SumBackend, small_request


def build_engine(model: EurekaAudio, num_slots: int, **limits: int) -> Engine:
    backend = ReferenceBackend(model.backbone, num_slots, context_tokens=64)
    return Engine(backend, END_TOKEN, limits=EngineLimits(**limits))  # type: ignore[arg-type]


def probe(number: int) -> Request:
    request = make_request(number, request_id=f"probe-{number}", max_new_tokens=1)
    return replace(request, priority=Priority.PROBE)


def test_other_requests_leave_the_slot_of_probes_free(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=3, probe_slots=1)
    handles = [engine.submit(make_request(seed, priority=Priority.INTERACTIVE)) for seed in range(4)]
    most = 0
    while engine.step():
        most = max(most, engine.stats().num_running)
    assert most == 2
    assert all(handle.ending is not None for handle in handles)


def test_probe_is_answered_in_one_step_while_others_hold_slots_and_queue(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=2, probe_slots=1, max_waiting=1)
    running = engine.submit(make_request(0, max_new_tokens=40, ban_token_ids=(END_TOKEN,)))
    engine.step()
    waiting = engine.submit(make_request(1))
    with pytest.raises(QueueFullError):
        engine.submit(make_request(2))

    asked = engine.submit(probe(3))
    engine.step()

    assert asked.ending in (Ending.LENGTH, Ending.STOP)
    assert running.ending is None and waiting.ending is None
    assert engine.stats().num_waiting == 1


def test_probes_take_turns_and_too_many_are_refused(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=2, probe_slots=1, max_waiting=1)
    running = engine.submit(make_request(0, max_new_tokens=40, ban_token_ids=(END_TOKEN,)))
    engine.step()
    probes = [engine.submit(probe(number)) for number in range(1, 10)]
    with pytest.raises(QueueFullError):
        engine.submit(probe(10))
    for _ in probes:
        engine.step()
    assert all(handle.ending is not None for handle in probes)
    assert running.ending is None


def test_probe_in_its_slot_costs_nobody_another_one() -> None:
    engine = Engine(SumBackend(5), 0, limits=EngineLimits(probe_slots=1, max_step_prefill_tokens=16))
    for number in range(4):
        engine.submit(small_request(number, priority=Priority.BULK, max_new_tokens=40, ban_token_ids=(0,)))
    while engine.stats().num_prefilling or engine.stats().num_waiting:
        engine.step()
    long_probe = engine.submit(small_request(10, length=40, priority=Priority.PROBE))
    engine.step()
    engine.submit(small_request(11, priority=Priority.INTERACTIVE))
    engine.step()
    assert long_probe.ending is None
    assert (engine.stats().num_pauses, engine.stats().num_free_slots) == (1, 0)
