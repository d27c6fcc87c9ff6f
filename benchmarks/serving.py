"""What serving costs: the local stack against an engine of this process, same weights, same slots.

Brings up the whole stack (Triton, three stages, gateway) on free ports and lets 1 to 64 streams ask at once,
in turns with the engine here: tokens a second, time to first token, time between messages. Then the two ways
of embedding (fused, two-stage) and the two of moving tensors to Triton (inline, shared memory). Ratios are
made of neighbours in time, as other work on the machine moves all absolute figures.

    python benchmarks/serving.py [--checkpoint DIR] [--rounds N] [--output FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from serving_sides import (
    Answered,
    InProcess,
    Side,
    decoder_stage,
    make_clip,
    through_gateway,
    timed_embed,
    wav_of,
)
from serving_stack import RunningStack, running_stack

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.stages import EmbeddingPath, StageClients
from eureka.clients.triton import TritonClient, TritonOptions
from eureka.errors import EurekaError
from eureka.types import Pcm

REPOSITORY = Path(__file__).resolve().parent.parent
NUM_SLOTS = 16
NUM_TOKENS = 64
CLIP_SECONDS, NUM_CLIPS = 5.0, 4

STREAMS = {1: 8, 8: 6, 16: 6, 32: 3, 64: 2}
"""Streams at once -> questions that each asks."""

NUM_FIRST_TOKENS = 25
"""Pairs of single questions, for the time to first token of an idle stack."""

NUM_EMBEDS = 15
EMBED_SECONDS = (5.0, 30.0)

MAX_FIRST_TOKEN_MS = 60.0
"""Goal: what the gateway may add to the time to first token of a 5 s clip."""

PAIRS = {"gateway": "in_process", "decoder_stage": "engine"}
"""Served side -> the one of this process that does the same work."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What one side did with one load.

    Attributes:
        answers: all of them.
        cpu_seconds: processor time that stack and caller took meanwhile.
    """

    answers: Sequence[Answered]
    cpu_seconds: float

    @property
    def num_tokens(self) -> int:
        return sum(one.num_tokens for one in self.answers)

    @property
    def tokens_a_second(self) -> float:
        """Over the whole load, from the first question to the last token."""
        first, last = min(one.asked for one in self.answers), max(one.ended for one in self.answers)
        return self.num_tokens / (last - first)


@dataclass(frozen=True, slots=True)
class Sides:
    """All that is measured."""

    by_name: Mapping[str, Side]
    stages: Mapping[str, StageClients]
    tritons: Mapping[str, TritonClient]
    stack: RunningStack


@asynccontextmanager
async def open_sides(checkpoint: Path, stack: RunningStack) -> AsyncIterator[Sides]:
    """Clients of the stack, and the engine here, all warm."""
    clips = [make_clip(CLIP_SECONDS, seed) for seed in range(NUM_CLIPS)]
    own = InProcess(checkpoint, clips, NUM_SLOTS)
    stages = {path: _stages(stack, path) for path in ("fused", "two_stage")}
    target = stack.address("triton")
    async with (
        AsyncGatewayClient(stack.address("gateway")) as client,
        TritonClient(target, TritonOptions("inline")) as inline,
        TritonClient(target, TritonOptions("shared_memory")) as shared,
    ):
        by_name: dict[str, Side] = {
            "in_process": own.side(has_embeddings=False),
            "gateway": through_gateway(client, [wav_of(clip) for clip in clips]),
            "engine": own.side(has_embeddings=True),
            "decoder_stage": decoder_stage(stages["fused"], own.embeddings),
        }
        for side in by_name.values():
            await side.answers(2, 2, NUM_TOKENS)
        yield Sides(by_name, stages, {"inline": inline, "shared_memory": shared}, stack)
        for each in stages.values():
            await each.close()


def _stages(stack: RunningStack, path: EmbeddingPath) -> StageClients:
    names = ("encoder", "adapter", "decoder")
    return StageClients(*(open_channel(ChannelConfig(stack.address(name))) for name in names), path)


async def measure_loads(sides: Sides, num_rounds: int) -> tuple[list[Report], dict[int, Report]]:
    """Rows of all loads, and by number of streams what is served as a share of the same in this process."""
    rows, ratios = [], {}
    for num_streams, num_turns in STREAMS.items():
        loads = await _loads(sides, num_streams, num_turns, num_rounds)
        rows += [load_row(name, num_streams, loads[name]) for name in sides.by_name]
        ratios[num_streams] = {served: ratio_of(loads[served], loads[peer]) for served, peer in PAIRS.items()}
    return rows, ratios


async def _loads(sides: Sides, num_streams: int, num_turns: int, num_rounds: int) -> dict[str, list[Load]]:
    """Rounds of one load; who goes first changes."""
    loads: dict[str, list[Load]] = defaultdict(list)
    for number in range(num_rounds):
        names = list(sides.by_name)[:: 1 if number % 2 else -1]
        for name in names:
            loads[name].append(await run_load(sides, name, num_streams, num_turns))
    return loads


async def run_load(sides: Sides, name: str, num_streams: int, num_turns: int) -> Load:
    """One side under one load."""
    before = sum(_cpu_seconds(sides).values())
    answers = await sides.by_name[name].answers(num_streams, num_turns, NUM_TOKENS)
    return Load(answers, sum(_cpu_seconds(sides).values()) - before)


def _cpu_seconds(sides: Sides) -> dict[str, float]:
    return {**sides.stack.cpu_seconds(), "caller": sum(os.times()[:2])}


def load_row(side: str, num_streams: int, loads: Sequence[Load]) -> Report:
    """Figures of one side under one load, all rounds together."""
    answers = [one for load in loads for one in load.answers]
    num_tokens = sum(load.num_tokens for load in loads)
    first = [1000 * one.first_seconds for one in answers]
    gaps = [1000 * gap for one in answers for gap in one.gaps]
    return {
        "measure": "load",
        "side": side,
        "streams": num_streams,
        "tokens": num_tokens,
        "tokens_per_second": round(statistics.median(load.tokens_a_second for load in loads), 1),
        "cpu_ms_per_token": round(1000 * sum(load.cpu_seconds for load in loads) / num_tokens, 2),
        "first_token_ms": quantiles(first),
        "between_messages_ms": quantiles(gaps),
    }


def ratio_of(served: Sequence[Load], peer: Sequence[Load]) -> Report:
    """Tokens a second of the served side over its peer's, round by round."""
    ratios = [a.tokens_a_second / b.tokens_a_second for a, b in zip(served, peer, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ours": round(statistics.median(load.tokens_a_second for load in served), 1),
        "peer": round(statistics.median(load.tokens_a_second for load in peer), 1),
        "unit": "tokens/s",
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


async def measure_first_token(sides: Sides) -> Report:
    """What the gateway adds to the time to first token, one question at a time."""
    spent: dict[str, list[float]] = defaultdict(list)
    for _ in range(NUM_FIRST_TOKENS):
        for name in ("in_process", "gateway"):
            (answered,) = await sides.by_name[name].answers(1, 1, 2)
            spent[name].append(1000 * answered.first_seconds)
    added = [a - b for a, b in zip(spent["gateway"], spent["in_process"], strict=True)]
    return {
        "value": round(statistics.median(added), 1),
        "unit": "ms",
        "limit": MAX_FIRST_TOKEN_MS,
        "spread": [round(float(np.quantile(added, q)), 1) for q in (0.25, 0.75)],
        "gateway": quantiles(spent["gateway"]),
        "in_process": quantiles(spent["in_process"]),
    }


async def measure_embedding(sides: Sides) -> list[Report]:
    """The ways of embedding and of moving tensors, in turns."""
    rows = []
    for seconds in EMBED_SECONDS:
        clip = make_clip(seconds, 0)
        ways: dict[str, Callable[[], Awaitable[Any]]] = {
            **{f"embed {path}": _embed_by(stages, clip) for path, stages in sides.stages.items()},
            **{f"frames {name}": _frames_by(triton, clip) for name, triton in sides.tritons.items()},
        }
        spent = await _in_turns(ways)
        rows += [
            {"measure": name, "audio_seconds": seconds, "ms": quantiles(each)} for name, each in spent.items()
        ]
    return rows


def _embed_by(stages: StageClients, clip: Pcm) -> Callable[[], Awaitable[Any]]:
    return lambda: timed_embed(stages, clip)


def _frames_by(triton: TritonClient, clip: Pcm) -> Callable[[], Awaitable[Any]]:
    return lambda: triton.infer_frames([clip])


async def _in_turns(ways: Mapping[str, Callable[[], Awaitable[Any]]]) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = defaultdict(list)
    for number in range(NUM_EMBEDS + 1):
        for name, way in ways.items():
            started = perf_counter()
            await way()
            if number:  # the first one teaches the client the size of an output
                spent[name].append(1000 * (perf_counter() - started))
    return spent


async def measure_cpu(sides: Sides) -> Report:
    """Processor milliseconds a token by process, of streams through the gateway that fill all slots."""
    before = _cpu_seconds(sides)
    load = await run_load(sides, "gateway", NUM_SLOTS, 2)
    after = _cpu_seconds(sides)
    spent = {name: round(1000 * (after[name] - before[name]) / load.num_tokens, 3) for name in before}
    return {"measure": "cpu ms a token", "streams": NUM_SLOTS, **spent}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Middle and tail."""
    if not values:
        return {}
    return {f"p{q}": round(float(np.percentile(values, q)), 1) for q in (50, 99)}


async def measure(checkpoint: Path, num_rounds: int) -> Report:
    """The whole report."""
    with running_stack(checkpoint, NUM_SLOTS) as stack:
        async with open_sides(checkpoint, stack) as sides:
            first_token = await measure_first_token(sides)
            rows, ratios = await measure_loads(sides, num_rounds)
            rows += await measure_embedding(sides)
            rows.append(await measure_cpu(sides))
    served = {f"S1_served_{streams}": ratio["gateway"] for streams, ratio in ratios.items()}
    decoders = {f"S3_decoder_stage_{streams}": ratio["decoder_stage"] for streams, ratio in ratios.items()}
    goals = {**served, "S2_ttft_5s_ms": first_token, **decoders}
    return {"goals": goals, **conditions(num_rounds), "rows": rows}


def conditions(num_rounds: int) -> Report:
    """Where and how it was measured."""
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    )
    return {
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
        "commit": git.stdout.strip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rounds": num_rounds,
        "slots": NUM_SLOTS,
        "new_tokens": NUM_TOKENS,
        "clip_seconds": CLIP_SECONDS,
    }


def machine() -> str:
    """Processor and cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def table(report: Report) -> str:
    """The loads as a Markdown table, a line a load and side."""
    lines = [
        "| streams | side | tokens/s | of its peer | CPU ms a token | first token, ms p50 / p99 "
        "| between messages, ms p50 / p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in report["rows"] if row["measure"] == "load"):
        goal = {"gateway": "S1_served", "decoder_stage": "S3_decoder_stage"}.get(row["side"])
        name = f"{goal}_{row['streams']}"
        share = f"{report['goals'][name]['ratio']:.0%}" if goal else ""
        first, gap = row["first_token_ms"], row["between_messages_ms"]
        lines.append(
            f"| {row['streams']} | {row['side']} | {row['tokens_per_second']:.0f} | {share} "
            f"| {row['cpu_ms_per_token']:.2f} "
            f"| {first['p50']:.0f} / {first['p99']:.0f} | {gap['p50']:.1f} / {gap['p99']:.1f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="what serving costs, against an engine in one process")
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "eureka-nano")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each load")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "benchmarks" / "results-serving.json")
    arguments = parser.parse_args(argv)
    if not arguments.checkpoint.is_dir():
        print(f"there is no checkpoint folder {arguments.checkpoint}", file=sys.stderr)
        return 2
    try:
        report = asyncio.run(measure(arguments.checkpoint, arguments.rounds))
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report["goals"], indent=2), table(report), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
