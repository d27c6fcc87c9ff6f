"""Our side: the CPU backend in the numerics that a user may choose, its engine, and steps timed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.audio_parts import WindowEncoder
from eureka.engine.backend import Backend, Prefill
from eureka.engine.choice import BackendChoice, BackendName, open_backend, open_encoder
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.engine.repetition import RepetitionRule
from eureka.engine.request import Floats, Request
from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.load_plan import plan_load
from eureka.model.weights import load_checkpoint
from eureka.text.prompts import Prompt
from eureka.types import Priority, SamplingParams

Numerics = Literal["exact", "fast"]

NUMERICS: tuple[Numerics, ...] = ("exact", "fast")
"""float32, and what is near it for less: bfloat16 products on native kernels, int8 ones on ONNX Runtime."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of our arithmetics.

    Attributes:
        numerics: out of `NUMERICS`.
        backend: what computes; `auto` is what users get.
        suffix: of the names of its rows.
    """

    numerics: Numerics
    backend: BackendName = "auto"
    suffix: str = ""

    @property
    def is_default(self) -> bool:
        """Whether users get it: the others stand beside it for comparison, and are no goals."""
        return self.backend == "auto"


def kinds(folder: Path) -> tuple[Kind, ...]:
    """What users get, in both numerics, and ONNX Runtime beside it where that is something else."""
    default = tuple(Kind(numerics) for numerics in NUMERICS)
    if BackendChoice().resolve(EurekaConfig.from_folder(folder)) != "native":
        return default
    return (*default, *(Kind(numerics, "onnx", "_onnx") for numerics in NUMERICS))


GRAPHS = Path(__file__).resolve().parent.parent.parent / "build" / "benchmarks" / "graphs"
"""Kept between runs, apart from those of the users."""

NEVER = 10**6
"""Tokens that must repeat before an answer counts as a loop: watched at the usual cost, never stopped."""


class NotThereError(Exception):
    """This checkout, machine or environment lacks what a row needs; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Side:
    """A checkpoint in one kind of arithmetic of the CPU backends.

    Attributes:
        folder: of the checkpoint.
        numerics: out of `NUMERICS`.
        num_threads: inside one operator.
        graphs: folder that keeps graphs.
        backend_name: what computes.
    """

    folder: Path
    numerics: Numerics = "exact"
    num_threads: int = 1
    graphs: Path = GRAPHS
    backend_name: BackendName = "auto"

    @classmethod
    def of(cls, folder: Path, kind: Kind, graphs: Path = GRAPHS) -> Side:
        """A checkpoint in one of our arithmetics."""
        return cls(folder, kind.numerics, graphs=graphs, backend_name=kind.backend)

    @property
    def name(self) -> str:
        """What computes, for notes."""
        return f"{self.choice.resolve(EurekaConfig.from_folder(self.folder))} {self.numerics}"

    @property
    def choice(self) -> BackendChoice:
        """As the settings of a process say it."""
        threads = self.num_threads
        return BackendChoice(self.backend_name, self.numerics, num_threads=threads, cache_folder=self.graphs)

    def backend(self, num_slots: int, context_tokens: int = 1024) -> Backend:
        """The decoder."""
        return open_backend(plan_load(self.folder), self.choice, num_slots, context_tokens)

    def embedder(self) -> AudioEmbedder:
        """Log-mel, encoder and adapter."""
        return AudioEmbedder.open(plan_load(self.folder), self.choice)

    def encoder(self) -> WindowEncoder:
        """The encoder alone."""
        return open_encoder(plan_load(self.folder), self.choice)

    def engine(self, num_slots: int, context_tokens: int = 1024) -> Engine:
        """An engine over the decoder whose answers end by length only."""
        backend = self.backend(num_slots, context_tokens)
        limits = EngineLimits(repetition=RepetitionRule(min_tokens=NEVER))
        penalty = EurekaConfig.from_folder(self.folder).repetition_penalty
        # No token of the vocabulary ends an answer, so nothing has to be banned on either side.
        return Engine(backend, backend.vocab_size, limits=limits, repetition_penalty=penalty)


@cache
def torch_model(folder: Path) -> EurekaAudio:
    """The checkpoint in torch, float32; loaded once, for it is the truth and the source of the peer."""
    return load_checkpoint(folder)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A prompt with the rows (A, W) of its audio."""

    prompt: Prompt
    embeddings: Floats


_numbers = itertools.count()


def submit(
    engine: Engine, asked: Asked, max_new_tokens: int, priority: int = Priority.DEFAULT
) -> RequestHandle:
    """Ask an engine for exactly so many greedy tokens."""
    return engine.submit(
        Request(
            f"bench-{next(_numbers)}",
            asked.prompt.prompt_ids,
            asked.prompt.token_type_ids,
            asked.embeddings,
            sampling=SamplingParams(max_new_tokens),
            priority=priority,
        )
    )


def generate(engine: Engine, asked: Asked, num_tokens: int) -> list[int]:
    """Exactly so many greedy tokens, taken as the local commands take them."""
    return [i for delta in submit(engine, asked, num_tokens) for i in delta.token_ids]


def to_prefill(slot: int, asked: Asked) -> Prefill:
    """The whole prompt as one chunk."""
    prompt = asked.prompt
    positions = np.flatnonzero(prompt.token_type_ids)
    return Prefill(slot, prompt.prompt_ids, positions, asked.embeddings)


def engine_step_seconds(engine: Engine, asked: Sequence[Asked], num_tokens: int) -> float:
    """Processor seconds of a decode step of all requests together, prefill apart.

    Counted over `num_tokens` - 1 steps or a few more from where each request has a first token; by then those
    that were prefilled first have some more, for the engine mixes prompts and answers.
    """
    room = engine.backend.context_tokens - max(len(one.prompt.prompt_ids) for one in asked)
    handles = [submit(engine, one, room) for one in asked]
    counts = dict.fromkeys((handle.request_id for handle in handles), 0)
    while not all(counts.values()):
        engine.step()
        _count(handles, counts)
    counted, started = sum(counts.values()), time.process_time()
    while sum(counts.values()) - counted < (num_tokens - 1) * len(handles):
        engine.step()  # may be several tokens
        _count(handles, counts)
    spent, num_steps = time.process_time() - started, (sum(counts.values()) - counted) / len(handles)
    assert all(handle.ending is None for handle in handles), "the context is too short for all to be counted"
    for handle in handles:
        handle.cancel()
    while engine.step():
        pass
    return spent / num_steps


def _count(handles: Sequence[RequestHandle], counts: dict[str, int]) -> None:
    for handle in handles:
        while (delta := handle.take()) is not None:
            counts[handle.request_id] += len(delta.token_ids)


def bare_step_seconds(backend: Backend, asked: Sequence[Asked], num_tokens: int) -> float:
    """Processor seconds of one `decode` of the backend and an argmax, without an engine."""
    slots = list(range(len(asked)))
    logits = np.concatenate([backend.prefill([to_prefill(slot, one)]) for slot, one in enumerate(asked)])
    started = time.process_time()
    for _ in range(num_tokens - 1):
        logits = backend.decode(slots, logits.argmax(axis=-1).tolist())
    spent = time.process_time() - started
    for slot in slots:
        backend.release(slot)
    return spent / (num_tokens - 1)
