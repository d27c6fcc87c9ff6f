"""What a job costs: one file on workers of a local stack, in turns with the engine in this process.

All sides give both tracks of the same windows. The engine here hears one window after another, as the local
commands do, or as many at a time as a worker. What a job adds are hops, documents, the queue, and a second
pass over the audio.
"""

from __future__ import annotations

import os
import statistics
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from serving_stack import RunningStack, running_stack

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.audio.plan import PlannedWindow, plan_windows
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import JobState
from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import open_backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.runner import EngineRunner
from eureka.jobs.spec import LONGEST_WINDOW_SECONDS
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import plan_load
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.options import UNTIMED_WINDOW_SECONDS, ListenerSettings, ListenOptions
from eureka.pipeline.windows import WindowListener
from eureka.runtime.backend import backend_choice
from eureka.runtime.settings import Settings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Task
from pace.figures import Measured, Row, Value, compare, in_turns

NUM_SLOTS = 16
TASKS = (Task.TRANSCRIBE, Task.CAPTION)
JOB_SECONDS = 1_200.0
"""Longest wait for one job."""

MIN_RATIO = 1 / 1.2
"""A worker may take 20 % more than the engine in one process."""


@dataclass
class JobSide:
    """Jobs of one stack, one after another.

    Args:
        client: of its gateway.
        store: folder of its objects.
        audio: what each hears.
        pids: of the stack.
        first_seconds: from each request to its first segment.
        cpu_seconds: processor time that the stack took for each.
    """

    client: GatewayClient
    store: Path
    audio: Path
    pids: Callable[[], Iterable[int]]
    first_seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Seconds of one job, from the request with its upload until its result was written."""
        cpu, started = cpu_seconds_of(self.pids()), time.time()  # of the clock that files are dated by
        job = self.client.create_job(self.audio)
        first: float | None = None
        with self.client.watch_job(job.name, timeout_seconds=JOB_SECONDS) as updates:
            for update in updates:
                if update.segments and first is None:
                    first = time.time() - started
                state = update.job.state
        if state is not JobState.SUCCEEDED or first is None:
            raise RuntimeError(f"{job.name} is {state}")
        self.first_seconds.append(first)
        self.cpu_seconds.append(cpu_seconds_of(self.pids()) - cpu)
        (result,) = self.store.glob(f"**/{job.name}/rounds/0001/result.json~")
        seconds = result.stat().st_mtime - started
        self.client.delete_job(job.name)
        return seconds


@dataclass
class EngineSide:
    """The engine in this process, driven by a thread of its own as in its server.

    Args:
        listener: hears windows.
        pool: decodes.
        audio: what is heard.
        window_seconds: longest window.
        num_threads: windows at a time.
        cpu_seconds: processor time that each run took.
    """

    listener: WindowListener
    pool: DecodePool
    audio: Path
    window_seconds: float
    num_threads: int
    cpu_seconds: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Seconds of the whole file."""
        cpu, started = cpu_seconds_of([os.getpid()]), time.perf_counter()
        with ThreadPoolExecutor(self.num_threads) as threads:
            heard = list(threads.map(self._hear, self._windows()))
        if not heard:
            raise RuntimeError("nothing was heard")
        seconds = time.perf_counter() - started
        self.cpu_seconds.append(cpu_seconds_of([os.getpid()]) - cpu)
        return seconds

    def _windows(self) -> Iterator[PlannedWindow]:
        return plan_windows(self.pool.stream(str(self.audio)), self.window_seconds)

    def _hear(self, window: PlannedWindow) -> int:
        return len(self.listener.hear_window(window, TASKS, ListenOptions()).pieces)


@contextmanager
def engine_side(settings: Settings, audio: Path) -> Iterator[EngineSide]:
    """The checkpoint of the settings in this process, with the slots of the stack; one window at a time."""
    plan, choice = plan_load(settings.checkpoint), backend_choice(settings)
    tokenizer = Tokenizer.from_folder(settings.checkpoint)
    engine = Engine(
        open_backend(plan, choice, NUM_SLOTS),
        tokenizer.end_id,
        limits=EngineLimits(batch_invariant=choice.batch_invariant),
        repetition_penalty=plan.config.repetition_penalty,
    )
    decoder = EngineDecoder(engine, tokenizer, PromptBuilder(tokenizer, plan.config))
    hearing = ListenerSettings(plan.config.name, plan.config.best_window_seconds)
    listener = WindowListener(AudioEmbedder.open(plan, choice), decoder, hearing, time.perf_counter)
    with DecodePool(1, DecodeLimits(**settings.audio.limits())) as pool, EngineRunner(engine):
        yield EngineSide(listener, pool, audio, longest_window_seconds(plan.config), 1)


def longest_window_seconds(config: EurekaConfig) -> float:
    """Of jobs by a checkpoint, as `JobSpec.window_seconds` has it."""
    longest = LONGEST_WINDOW_SECONDS if config.time_step_seconds is not None else UNTIMED_WINDOW_SECONDS
    return min(longest, config.best_window_seconds)


@contextmanager
def job_stack(settings: Settings, num_workers: int, store: Path, **more: str) -> Iterator[RunningStack]:
    """A stack with so many workers over a local store."""
    own = {
        "STACK__WORKERS": str(num_workers),
        "STACK__REDIS_PORT": "0",
        "STORAGE__FOLDER": str(store),
        **more,
    }
    with running_stack(settings.checkpoint, NUM_SLOTS, **own) as stack:
        yield stack


def cpu_seconds_of(pids: Iterable[int]) -> float:
    """Processor time that processes and all their children have taken since their start."""
    found: dict[int, psutil.Process] = {}
    for process in map(psutil.Process, pids):
        found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return sum(sum(process.cpu_times()[:2]) for process in found.values())


def client_of(stack: RunningStack) -> GatewayClient:
    """A client of the stack's gateway."""
    return GatewayClient(stack.address("gateway"), timeout_seconds=JOB_SECONDS)


def rows_of_work(
    settings: Settings, audio: Path, folder: Path, num_workers: int, num_rounds: int
) -> list[Row]:
    """All sides in turns: by the clock, by processor time, and the time to the first segment."""
    with ExitStack() as opened:
        stack = opened.enter_context(job_stack(settings, num_workers, folder))
        client = opened.enter_context(client_of(stack))
        one = opened.enter_context(engine_side(settings, audio))
        several = replace(one, num_threads=settings.worker.concurrency, cpu_seconds=[])
        jobs = JobSide(client, folder, audio, lambda: stack.pids().values())
        spent = in_turns({"job": jobs.run, "one": one.run, "several": several.run}, num_rounds)
    cpu = {"job": jobs.cpu_seconds[-num_rounds:], "one": one.cpu_seconds[-num_rounds:]}
    return _rows(num_workers, wav_seconds(audio), spent, cpu, jobs.first_seconds[-num_rounds:])


def wav_seconds(path: Path) -> float:
    """How long a WAV file is."""
    with wave.open(str(path)) as reader:
        return reader.getnframes() / reader.getframerate()


def _rows(
    num_workers: int, seconds: float, spent: Measured, cpu: Measured, first: Sequence[float]
) -> list[Row]:
    name = "J1" if num_workers == 1 else f"J1_{num_workers}"
    unit, workers = f"s for {seconds:.0f} s of audio", f"{num_workers} worker{'s' * (num_workers > 1)}"
    one, several = (compare(spent["job"], spent[peer], unit) for peer in ("one", "several"))
    note = (
        f"a job (upload, plan, windows, merge) on {workers} over the engine in one process that hears one "
        f"window after another, transcript and caption: {seconds / one.ours:.0f} against "
        f"{seconds / one.peer:.0f} s of audio a second; at least {MIN_RATIO:.2f}"
    )
    several_note = (
        f"the same over an engine in one process that hears as many windows at a time as one worker: "
        f"{seconds / several.peer:.0f} s of audio a second"
    )
    cpu_note = f"the first in processor time of all processes of the stack, {workers}"
    start = Value(statistics.median(first), "s", None, (min(first), max(first)))
    start_note = f"from the request, upload included, to the first segment at a watcher, {workers}"
    return [
        Row(name, one, note, is_goal=num_workers == 1),
        Row(f"{name}_several", several, several_note, is_goal=False),
        Row(f"{name}_cpu", compare(cpu["job"], cpu["one"], f"CPU {unit}"), cpu_note, is_goal=False),
        Row(f"{name}_first", start, start_note, is_goal=False),
    ]
