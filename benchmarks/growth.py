"""How cost grows: a decode step with the context, and the engine's own work with the number of requests.

Draws both as SVG into docs/ and writes the figures beside the other reports.

    python benchmarks/growth.py [--quick] [--checkpoint DIR] [--folder docs] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import transformers
from pace.figures import in_turns, middle
from pace.results import REPOSITORY, conditions
from pace.sides import NEVER, NUMERICS, Asked, Side, bare_step_seconds, submit, torch_model
from pace.suite import Suite, transcribe_prompt
from pace.transformers_side import TransformersDecoder

from eureka.engine.backend import Backend, Prefill
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.repetition import RepetitionRule
from eureka.engine.request import Floats
from eureka.runtime.settings import Settings
from eureka.text.prompts import Prompt

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CONTEXTS = (128, 256, 512, 1024, 2048, 3072, 4000)
QUICK_CONTEXTS = (128, 512)
CONTEXT_TOKENS = 4096
NUM_TOKENS, NUM_ROUNDS = 32, 5

REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUICK_REQUESTS = (1, 16, 256)
NUM_STEPS = 64
VOCABULARY, WIDTH = 1024, 8

LABELS = {
    "exact": "eureka, exact (float32)",
    "fast": "eureka, fast",
    "peer": "transformers, generate (float32)",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One measured place of a line.

    Attributes:
        line: which one.
        x: tokens of context, or requests.
        y: median, in the unit of the picture.
        spread: least and greatest round.
    """

    line: str
    x: int
    y: float
    spread: tuple[float, float]


class InstantBackend:
    """A backend that computes nothing: what is left is the engine's own work. See `Backend`."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots, self.context_tokens = num_slots, CONTEXT_TOKENS
        self.vocab_size, self.embedding_width = VOCABULARY, WIDTH
        self._logits = np.random.default_rng(0).normal(size=(num_slots, VOCABULARY)).astype(np.float32)

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """The same logits each time."""
        return self._logits[: len(prefills)].copy()

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """The same logits each time."""
        return self._logits[: len(slots)].copy()

    def release(self, slot: int) -> None:
        """Nothing is held."""


def by_context(suite: Suite) -> Iterator[Point]:
    """Processor milliseconds of one decode step of one stream behind prompts of growing length."""
    model = torch_model(suite.checkpoint)
    backends = {kind: Side(suite.checkpoint, kind).backend(1, CONTEXT_TOKENS) for kind in NUMERICS}
    peer = TransformersDecoder(model.backbone)
    for length in QUICK_CONTEXTS if suite.is_quick else CONTEXTS:
        asked = transcribe_prompt(suite.checkpoint, length)
        spent = in_turns(_sides(backends, peer, asked), suite.rounds(NUM_ROUNDS))
        for line, values in spent.items():
            value = middle(values, "ms", 1000.0)
            yield Point(LABELS[line], length, value.value, (value.spread[0], value.spread[1]))


def _sides(
    backends: dict[Any, Backend], peer: TransformersDecoder, asked: Asked
) -> dict[str, Callable[[], float]]:
    inputs = peer.embed(asked.prompt, asked.embeddings)[None]
    own = {
        kind: lambda backend=backend: bare_step_seconds(backend, [asked], NUM_TOKENS)
        for kind, backend in backends.items()
    }
    return {**own, "peer": lambda: peer.generate(inputs, NUM_TOKENS).step_seconds}


def by_requests(suite: Suite) -> Iterator[Point]:
    """Microseconds of the engine's own work a step and request, the arithmetic left out."""
    for count in QUICK_REQUESTS if suite.is_quick else REQUESTS:
        spent = in_turns({"own": lambda count=count: engine_seconds(count)}, suite.rounds(NUM_ROUNDS))["own"]
        a_step, a_request = middle(spent, "us", 1e6), middle(spent, "us", 1e6 / count)
        yield Point("a step", count, a_step.value, (a_step.spread[0], a_step.spread[1]))
        yield Point("a step and request", count, a_request.value, (a_request.spread[0], a_request.spread[1]))


def engine_seconds(num_requests: int) -> float:
    """Processor seconds of one step of an engine with so many running answers, nothing being computed."""
    limits = EngineLimits(max_waiting=num_requests, repetition=RepetitionRule(min_tokens=NEVER))
    engine = Engine(InstantBackend(num_requests), VOCABULARY, limits=limits, repetition_penalty=1.0)
    ids = np.zeros(4, dtype=np.int64)
    asked = Asked(Prompt(ids, np.zeros_like(ids)), np.zeros((0, WIDTH), dtype=np.float32))
    handles = [submit(engine, asked, 2 * NUM_STEPS + num_requests) for _ in range(num_requests)]
    while any(handle.take() is None for handle in handles):
        engine.step()
    started = time.process_time()
    for _ in range(NUM_STEPS):
        engine.step()
        for handle in handles:
            handle.take()
    return (time.process_time() - started) / NUM_STEPS


def draw(points: Sequence[Point], labels: tuple[str, str, str], path: Path) -> None:
    """Lines with their spread; `labels` are title, x and y."""
    title, x_label, y_label = labels
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for line in dict.fromkeys(point.line for point in points):
        own = [point for point in points if point.line == line]
        xs = [point.x for point in own]
        axes.plot(xs, [point.y for point in own], marker="o", label=line)
        axes.fill_between(xs, [p.spread[0] for p in own], [p.spread[1] for p in own], alpha=0.2)
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})  # the same figures give the same file
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="how cost grows with context and requests")
    parser.add_argument("--quick", action="store_true", help="few points: to see that all runs")
    parser.add_argument("--checkpoint", type=Path, help="folder; the settings' otherwise")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs", help="where the pictures go")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "benchmarks" / "growth.json")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    plt.rcParams["svg.hashsalt"] = "eureka"
    settings = Settings()
    suite = Suite(arguments.checkpoint or settings.checkpoint, settings.data_folder, arguments.quick)
    where = conditions()
    place = f"{where['machine']}, {where['commit']}, {where['date']}"
    contexts, requests = list(by_context(suite)), list(by_requests(suite))
    labels = (f"A decode step of one stream, 1 thread\n{place}", "tokens of context", "ms of processor time")
    draw(contexts, labels, arguments.folder / "growth-context.svg")
    labels = (f"The engine's own work\n{place}", "requests decoded together", "us of processor time")
    draw(requests, labels, arguments.folder / "growth-requests.svg")
    report = {**where, "by_context": list(map(asdict, contexts)), "by_requests": list(map(asdict, requests))}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
