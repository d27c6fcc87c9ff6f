"""Time to first token, time between tokens as requests come and go, and callers who wait beside bulk work.

All by the clock, of the engine in one process whose thread also asks: a request is due at a drawn moment and
is submitted after the step that runs then, so that the wait for this step counts.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from eureka.engine.engine import Engine
from eureka.engine.handle import RequestHandle
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Priority
from pace.clips import make_clip
from pace.figures import Row, Value, compare, compare_quantiles, in_turns, quantile
from pace.hearing import OwnHearing
from pace.sides import Asked, Side, submit, torch_model
from pace.suite import Suite, random_rows
from pace.transformers_side import TransformersHearing

MILLISECONDS = 1000.0
FIRST_TOKEN_ROUNDS = 15

NUM_STREAMS, QUESTIONS_EACH = 64, 4
ANSWER_TOKENS = (24, 72)
MAX_TAIL = 4.0
"""Times the median that the slowest of a hundred gaps between tokens may take."""

NUM_BULK, BULK_AUDIO_TOKENS = 16, 125
NUM_CALLS, CALL_AUDIO_TOKENS, CALL_TOKENS = 200, 63, 16
MAX_PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class Answered:
    """Moments of one answer, on one clock.

    Attributes:
        due: when it was asked, or ought to have been.
        times: when each token was there.
    """

    due: float
    times: list[float] = field(default_factory=list)

    @property
    def first_seconds(self) -> float:
        """Time to first token."""
        return self.times[0] - self.due

    @property
    def gaps(self) -> list[float]:
        """Seconds between neighbouring tokens."""
        return [after - before for before, after in itertools.pairwise(self.times)]


class Driver:
    """Asks an engine, takes its steps, and notes when tokens come."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: list[tuple[RequestHandle, Answered]] = []

    @property
    def num_running(self) -> int:
        """Answers that have not ended."""
        return len(self._running)

    def ask(self, asked: Asked, num_tokens: int, priority: int, due: float | None = None) -> Answered:
        """Submit; the answer fills itself with further steps."""
        answered = Answered(time.perf_counter() if due is None else due)
        self._running.append((submit(self._engine, asked, num_tokens, priority), answered))
        return answered

    def step(self) -> list[Answered]:
        """One step of the engine; the answers that ended with it."""
        self._engine.step()
        now = time.perf_counter()
        for handle, answered in self._running:
            while (delta := handle.take()) is not None:
                answered.times += [now] * len(delta.token_ids)
        ended = [answered for handle, answered in self._running if handle.ending is not None]
        self._running = [pair for pair in self._running if pair[0].ending is None]
        return ended

    def stop(self) -> None:
        """Cancel what runs."""
        for handle, _ in self._running:
            handle.cancel()
        while self._running:
            self.step()


class Prompts:
    """Transcribe prompts of one checkpoint around rows that are new each time: nothing kept fits them."""

    def __init__(self, suite: Suite) -> None:
        config = torch_model(suite.checkpoint).config
        self._width = config.backbone.hidden_size
        self._prompts = PromptBuilder(Tokenizer.from_folder(suite.checkpoint), config)
        self._seeds = itertools.count()

    def draw(self, num_audio_tokens: int) -> Asked:
        """The next one."""
        rows = random_rows(num_audio_tokens, self._width, next(self._seeds))
        return Asked(self._prompts.transcribe(num_audio_tokens), rows)


def first_token(suite: Suite) -> Iterator[Row]:
    """From samples to the first token of an idle engine, against the padded pipeline."""
    own = OwnHearing(Side(suite.checkpoint))
    peer = TransformersHearing(torch_model(suite.checkpoint), Tokenizer.from_folder(suite.checkpoint))
    for seconds in (5.0, 10.0, 30.0):
        clips = (make_clip(seconds, number) for number in itertools.count())
        sides: dict[str, Callable[[], float]] = {
            "own": lambda clips=clips: _wall(own.first_token, next(clips)),
            "peer": lambda clips=clips: _wall(lambda pcm: peer.generate(peer.embed(pcm), 1), next(clips)),
        }
        spent = in_turns(sides, suite.rounds(FIRST_TOKEN_ROUNDS))
        against = compare(spent["own"], spent["peer"], "ms", MILLISECONDS)
        note = f"samples of {seconds:g} s to the first token, onnx exact, idle, against the padded pipeline"
        yield Row(f"first_token_{seconds:g}s", against, note)


def arrivals(suite: Suite) -> Iterator[Row]:
    """64 streams that ask again as soon as they have their answer, of unlike lengths."""
    num_each = suite.size(QUESTIONS_EACH, 1)
    answers = _streams(Side(suite.checkpoint).engine(NUM_STREAMS), Prompts(suite), NUM_STREAMS, num_each)
    gaps = [MILLISECONDS * gap for one in answers for gap in one.gaps]
    first = [MILLISECONDS * one.first_seconds for one in answers]
    p50, p99 = quantile(gaps, 0.5), quantile(gaps, 0.99)
    note = f"{NUM_STREAMS} streams, {len(answers)} questions about 10 s, onnx exact, {NUM_STREAMS} slots"
    yield Row("arrivals_p50", Value(p50, "ms between tokens"), note, is_goal=False)
    yield Row("arrivals_p99", Value(p99, "ms between tokens"), note, is_goal=False)
    yield Row("arrivals_tail", Value(p99 / p50, "p99 over p50 between tokens", MAX_TAIL), note)
    yield Row("arrivals_first_p50", Value(quantile(first, 0.5), "ms to first token"), note, is_goal=False)
    yield Row("arrivals_first_p99", Value(quantile(first, 0.99), "ms to first token"), note, is_goal=False)
    spent = max(one.times[-1] for one in answers) - min(one.due for one in answers)
    rate = sum(len(one.times) for one in answers) / spent
    yield Row("arrivals_rate", Value(rate, "tokens/s"), note, is_goal=False)


def _streams(engine: Engine, prompts: Prompts, num_streams: int, num_each: int) -> list[Answered]:
    """Answers of streams that start one a step and ask `num_each` times."""
    draw = np.random.default_rng(0)
    driver, done = Driver(engine), []
    waiting = num_streams * num_each
    while waiting or driver.num_running:
        if waiting and driver.num_running < num_streams:
            num_tokens = int(draw.integers(*ANSWER_TOKENS))
            driver.ask(prompts.draw(BULK_AUDIO_TOKENS), num_tokens, Priority.DEFAULT)
            waiting -= 1
        done += driver.step()
    return done


def interactive(suite: Suite) -> Iterator[Row]:
    """Callers who wait, one at a time, beside 16 streams of bulk work: with free slots, and with none."""
    prompts = Prompts(suite)
    count = suite.size(NUM_CALLS, 10)
    for name, num_slots in (("interactive", 24), ("interactive_full", NUM_BULK)):
        engine = Side(suite.checkpoint).engine(num_slots)
        idle = [one.first_seconds for one in _calls(engine, prompts, count, num_bulk=0)]
        beside = [one.first_seconds for one in _calls(engine, prompts, count, num_bulk=NUM_BULK)]
        note = f"first token of 5 s prompts beside {NUM_BULK} bulk streams (ours) over idle (peer): lower is"
        note += f" better; {num_slots} slots, onnx exact, {count} calls"
        yield Row(name, compare_quantiles(beside, idle, 0.99, "ms", MILLISECONDS), note)
        step = MILLISECONDS * quantile(_bulk_steps(engine, prompts, count), 0.99)
        limit = 2 * MILLISECONDS * quantile(idle, 0.99) + step
        late = f"p99; limit: twice the idle p99, and the p99 of a step of bulk work alone ({step:.1f} ms)"
        slowest = MILLISECONDS * quantile(beside, 0.99)
        yield Row(f"{name}_p99", Value(slowest, "ms to first token", limit), late)
        middle = compare_quantiles(beside, idle, 0.5, "ms", MILLISECONDS)
        yield Row(f"{name}_p50", middle, note, is_goal=False)


def _calls(engine: Engine, prompts: Prompts, count: int, num_bulk: int) -> list[Answered]:
    draw = np.random.default_rng(0)
    bulk = _Bulk(Driver(engine), prompts, num_bulk)
    bulk.start()
    calls = []
    for _ in range(count):
        due = time.perf_counter() + draw.uniform(0, MAX_PAUSE_SECONDS)
        while time.perf_counter() < due:
            bulk.step()
        call = bulk.driver.ask(prompts.draw(CALL_AUDIO_TOKENS), CALL_TOKENS, Priority.INTERACTIVE, due)
        while len(call.times) < CALL_TOKENS:
            bulk.step(num_beside=1)
        calls.append(call)
    bulk.driver.stop()
    return calls


def _bulk_steps(engine: Engine, prompts: Prompts, count: int) -> list[float]:
    """Seconds of steps that bulk work takes by itself: decoding its answers, and a share of new prompts."""
    bulk = _Bulk(Driver(engine), prompts, NUM_BULK)
    bulk.start()
    spent = []
    for _ in range(2 * count):
        started = time.perf_counter()
        bulk.step()
        spent.append(time.perf_counter() - started)
    bulk.driver.stop()
    return spent


class _Bulk:
    """Streams of bulk work that ask again as soon as they have their answer."""

    def __init__(self, driver: Driver, prompts: Prompts, num_streams: int) -> None:
        self.driver = driver
        self._prompts, self._num_streams = prompts, num_streams
        self._draw = np.random.default_rng(1)

    def start(self) -> None:
        """Bring all streams to work, some steps apart, as they would be after a while."""
        for number in range(1, self._num_streams + 1):
            self._ask()
            for _ in range(ANSWER_TOKENS[0] // self._num_streams + 1):
                self.step(number - self._num_streams)

    def step(self, num_beside: int = 0) -> None:
        """One step of all, the streams at work and `num_beside` others running."""
        for _ in range(self._num_streams + num_beside - self.driver.num_running):
            self._ask()
        self.driver.step()

    def _ask(self) -> None:
        num_tokens = int(self._draw.integers(*ANSWER_TOKENS))
        self.driver.ask(self._prompts.draw(BULK_AUDIO_TOKENS), num_tokens, Priority.BULK)


def _wall(call: Callable[[np.ndarray], object], pcm: np.ndarray) -> float:
    started = time.perf_counter()
    call(pcm)
    return time.perf_counter() - started
