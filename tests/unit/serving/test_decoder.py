"""LlmDecoder over the real engine: order, coalescing, cancellation, and one final in every path."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from eureka.engine.engine import EngineLimits
from eureka.engine.messages import DecoderCall
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Delta, Floats, Label, LabelScores
from eureka.engine.stats import EngineStats
from eureka.errors import (
    AlreadyExistsError,
    InvalidCheckpointError,
    InvalidInputError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.model.eureka_audio import EurekaAudio
from eureka.serving.decoder import AnnouncingEngine, DecoderOptions, LlmDecoder
from eureka.types import Constraint, Ending, Priority
from tests.helpers.requests import END_TOKEN, make_request
from tests.helpers.tiny_model import tiny_model
from tests.helpers.tokenizers import qwen_like_tokenizer, small_nano_tokenizer

LONG = {"max_new_tokens": 900, "ban_token_ids": (END_TOKEN,), "temperature": 1.0}
"""Sampling of an answer that takes a second or two."""


@dataclass
class RecordingSender:
    """Keeps what it was sent; `breaks` raises at each send instead, as for a caller who is gone."""

    breaks: bool = False
    deltas: list[Delta] = field(default_factory=list)
    scores: LabelScores | None = None
    error: BaseException | None = None
    num_finals: int = 0
    wants_no_more: bool = False
    is_done: threading.Event = field(default_factory=threading.Event)
    has_begun: threading.Event = field(default_factory=threading.Event)

    def send(self, delta: Delta, scores: LabelScores | None, is_final: bool) -> None:
        assert self.num_finals == 0, "something followed the final"
        self.deltas.append(delta)
        self.scores = scores
        if delta.token_ids:
            self.has_begun.set()
        self._finish(is_final)
        if self.breaks:
            raise RuntimeError("nobody there")

    def fail(self, error: BaseException) -> None:
        assert self.num_finals == 0
        self.error = error
        self._finish(True)

    def is_cancelled(self) -> bool:
        return self.wants_no_more

    def _finish(self, is_final: bool) -> None:
        self.num_finals += is_final
        if is_final:
            self.is_done.set()

    @property
    def token_ids(self) -> list[int]:
        return [token_id for delta in self.deltas for token_id in delta.token_ids]


@pytest.fixture(scope="module")
def model() -> EurekaAudio:
    return tiny_model()


@pytest.fixture
def reported() -> list[EngineStats]:
    return []


@pytest.fixture
def decoder(
    model: EurekaAudio, reported: list[EngineStats], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlmDecoder]:
    decoder = build(model, reported, tmp_path_factory)
    decoder.open()
    yield decoder
    decoder.close()


def build(
    model: EurekaAudio, reported: list[EngineStats], folders: pytest.TempPathFactory, drain_seconds: float = 5
) -> LlmDecoder:
    engine = AnnouncingEngine(
        ReferenceBackend(model.backbone, 2, 1024), END_TOKEN, EngineLimits(max_waiting=2)
    )
    tokenizer = small_nano_tokenizer(folders.mktemp("tokenizer"))
    return LlmDecoder(engine, tokenizer, DecoderOptions(drain_seconds=drain_seconds), reported.append)


def start(
    decoder: LlmDecoder, number: int, labels: tuple[Label, ...] = (), **sampling: object
) -> RecordingSender:
    sender = RecordingSender()
    decoder.start(DecoderCall(make_request(number, **sampling), labels), sender)  # type: ignore[arg-type]
    return sender


def test_answers_are_those_of_the_engine_with_one_final_each(decoder: LlmDecoder, model: EurekaAudio) -> None:
    senders = [start(decoder, number) for number in range(2)]
    for number, sender in enumerate(senders):
        assert sender.is_done.wait(20)
        alone = AnnouncingEngine(ReferenceBackend(model.backbone, 1, 64), END_TOKEN)
        expected = list(alone.submit(make_request(number)))
        assert sender.token_ids == [i for delta in expected for i in delta.token_ids]
        assert sender.deltas[-1].ending is expected[-1].ending
        assert sender.num_finals == 1


def test_fast_tokens_share_responses_and_the_first_waits_for_none(decoder: LlmDecoder) -> None:
    sender = start(decoder, 1, **{**LONG, "max_new_tokens": 300})
    assert sender.is_done.wait(30)
    assert len(sender.token_ids) == 300
    assert len(sender.deltas) < 200
    assert len(sender.deltas[0].token_ids) <= 3


def test_constrained_answer_is_a_choice_and_an_unreadable_one_is_refused(decoder: LlmDecoder) -> None:
    sender = start(decoder, 1, constraint=Constraint(choices=("dog bark", "rain")))
    assert sender.is_done.wait(20)
    assert sender.deltas[-1].ending is Ending.STOP and len(sender.token_ids) >= 1
    refused = start(decoder, 2, constraint=Constraint(regex="("))
    assert refused.is_done.wait(20)
    assert isinstance(refused.error, InvalidInputError) and refused.error.reason == "INVALID_CONSTRAINT"


def test_tokenizer_that_takes_no_constraints_is_told_and_all_else_served(
    model: EurekaAudio, caplog: pytest.LogCaptureFixture
) -> None:
    engine = AnnouncingEngine(ReferenceBackend(model.backbone, 2, 64), END_TOKEN)
    decoder = LlmDecoder(engine, qwen_like_tokenizer())  # its ids have holes
    decoder.open()
    free, refused = start(decoder, 1), start(decoder, 2, constraint=Constraint(choices=("a",)))
    assert free.is_done.wait(20) and refused.is_done.wait(20)
    decoder.close()
    assert "constraints_unavailable" in caplog.text
    assert free.token_ids and isinstance(refused.error, InvalidCheckpointError)


def test_scores_come_with_the_ending(decoder: LlmDecoder) -> None:
    sender = start(decoder, 1, (Label("a", (7,)), Label("b", (8, 9))))
    assert sender.is_done.wait(20)
    assert sender.scores is not None and sender.scores.names == ("a", "b")
    assert sender.deltas[-1].ending is Ending.STOP


def test_cancelled_call_ends_and_frees_its_slot(decoder: LlmDecoder) -> None:
    sender = start(decoder, 1, **LONG)
    assert sender.has_begun.wait(20)
    sender.wants_no_more = True
    assert sender.is_done.wait(2)
    assert sender.deltas[-1].ending is Ending.CANCELLED
    assert decoder.stats().num_running == 0


def test_caller_who_cannot_be_reached_frees_the_slot(decoder: LlmDecoder) -> None:
    sender = RecordingSender(breaks=True)
    decoder.start(DecoderCall(make_request(1, **LONG)), sender)  # type: ignore[arg-type]
    assert sender.is_done.wait(20)
    assert sender.num_finals == 1
    assert decoder.stats().num_running == 0


def test_refusals_are_errors_with_a_final(decoder: LlmDecoder) -> None:
    running = [start(decoder, number, **LONG) for number in range(2)]
    for sender in running:
        assert sender.has_begun.wait(20)
    waiting = [start(decoder, number, **LONG) for number in (2, 3)]
    refused = [start(decoder, 4), start(decoder, 0), start(decoder, 5, max_new_tokens=0)]
    kinds = [QueueFullError, AlreadyExistsError, InvalidInputError]
    assert [type(sender.error) for sender in refused] == kinds
    assert [sender.num_finals for sender in refused] == [1, 1, 1]
    for sender in running + waiting:
        sender.wants_no_more = True
    for sender in running + waiting:
        assert sender.is_done.wait(5)
        assert sender.num_finals == 1


def test_waiting_call_gets_signs_of_life(decoder: LlmDecoder) -> None:
    busy = [start(decoder, number, **LONG) for number in range(2)]
    waiting = start(decoder, 2, **LONG)
    time.sleep(0.2)
    if waiting.deltas and not waiting.has_begun.is_set():
        assert waiting.deltas[0] == Delta()
    for sender in (*busy, waiting):
        sender.wants_no_more = True
        assert sender.is_done.wait(5)


def test_close_lets_short_answers_end_and_cancels_long_ones(
    model: EurekaAudio, tmp_path_factory: pytest.TempPathFactory
) -> None:
    decoder = build(model, [], tmp_path_factory, drain_seconds=0.3)
    decoder.open()
    short, long = start(decoder, 1, max_new_tokens=2), start(decoder, 2, **LONG)
    decoder.close()
    assert short.deltas[-1].ending in (Ending.LENGTH, Ending.STOP)
    assert long.deltas[-1].ending in (Ending.CANCELLED, Ending.LENGTH)
    assert (short.num_finals, long.num_finals) == (1, 1)
    late = start(decoder, 3)
    assert isinstance(late.error, StageUnavailableError)
    assert late.error.reason == "SHUTTING_DOWN"


def test_stats_are_reported_before_the_ending_is_sent(
    decoder: LlmDecoder, reported: list[EngineStats]
) -> None:
    sender = start(decoder, 1, max_new_tokens=4)
    assert sender.is_done.wait(20)
    assert reported[-1] == decoder.stats()
    assert reported[-1].num_running == 0


class CountingBackend(ReferenceBackend):
    """Remembers which slots each decoding pass used."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passes: list[tuple[int, ...]] = []

    def decode(self, slots: Sequence[int], last_tokens: Sequence[int]) -> Floats:
        self.passes.append(tuple(slots))
        return super().decode(slots, last_tokens)


class CancelNotingEngine(AnnouncingEngine):
    """Remembers how many passes had begun when a cancellation was in."""

    num_passes_at_cancel: int | None = None

    def cancel(self, request_id: str) -> bool:
        found = super().cancel(request_id)
        if self.num_passes_at_cancel is None:
            assert isinstance(self.backend, CountingBackend)
            self.num_passes_at_cancel = len(self.backend.passes)
        return found


def test_cancelled_call_uses_its_slot_for_at_most_one_more_step(model: EurekaAudio, tmp_path: Path) -> None:
    backend = CountingBackend(model.backbone, 2, 1024)
    engine = CancelNotingEngine(backend, END_TOKEN)
    decoder = LlmDecoder(engine, small_nano_tokenizer(tmp_path))
    decoder.open()
    leaving, staying = start(decoder, 1, **LONG), start(decoder, 2, **LONG)
    assert leaving.has_begun.wait(20) and staying.has_begun.wait(20)

    leaving.wants_no_more = True
    assert leaving.is_done.wait(5)
    assert engine.num_passes_at_cancel is not None
    # Passes, not tokens that arrive: some of those were still under way at the cancel.
    while sum(len(slots) == 1 for slots in backend.passes[engine.num_passes_at_cancel :]) < 20:
        assert not staying.is_done.wait(0.01), "the other one goes on"
    num_sent = len(staying.token_ids)
    staying.wants_no_more = True
    decoder.close()

    after = backend.passes[engine.num_passes_at_cancel :]
    assert sum(len(slots) == 2 for slots in after) <= 1
    assert num_sent >= 20


def test_probe_is_answered_while_all_slots_are_held_and_the_queue_is_full(
    model: EurekaAudio, tmp_path: Path
) -> None:
    limits = EngineLimits(max_waiting=2, probe_slots=1)
    engine = AnnouncingEngine(ReferenceBackend(model.backbone, 3, 1024), END_TOKEN, limits)
    decoder = LlmDecoder(engine, small_nano_tokenizer(tmp_path))
    decoder.open()
    running = [start(decoder, number, **LONG) for number in range(2)]
    for sender in running:
        assert sender.has_begun.wait(20)
    waiting = [start(decoder, number, **LONG) for number in (2, 3)]
    assert isinstance(start(decoder, 4).error, QueueFullError)

    for number in range(5, 8):
        probe = RecordingSender()
        request = replace(make_request(number, max_new_tokens=1), priority=Priority.PROBE)
        decoder.start(DecoderCall(request), probe)
        assert probe.is_done.wait(5)
        assert probe.error is None and probe.deltas[-1].ending is not None
    assert not any(sender.is_done.is_set() for sender in running)
    assert not any(sender.has_begun.is_set() for sender in waiting)

    for sender in (*running, *waiting):
        sender.wants_no_more = True
    decoder.close()
