"""Seconds of work a second of audio: eureka against the same weights in transformers' classes.

Ours is the way of `eureka transcribe --local`: windows planned at pauses, each at its true length, embedder
and engine. The peer is WhisperEncoder and Qwen3ForCausalLM with our weights, its input padded to 30 s, as
Whisper-style models are usually run; the adapter between them is ours, for transformers has none. Both run
on one thread, in turns within one process, by the clock, and both generate the same number of tokens a second
of audio, greedily and without an early end, so that only the way differs.

    python benchmarks/hear.py [--checkpoint DIR] [--numerics exact|fast] [--rounds N] [--output FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers
from pace.clips import make_clip
from pace.hearing import OwnHearing, Spent
from pace.results import REPOSITORY, machine
from pace.sides import NUMERICS, Side, torch_model
from pace.transformers_side import TransformersHearing

from eureka import __version__
from eureka.text.tokenizer import Tokenizer
from eureka.types import Pcm

CLIP_SECONDS = (5.0, 10.0, 30.0)
TOKENS_PER_SECOND = 3.0
"""About what English speech costs with the nano's vocabulary."""

PEER_WINDOW_SECONDS = 30
WARM_UP_ROUNDS = 2


def hear_by_peer(peer: TransformersHearing, pcm: Pcm, count: int) -> Spent:
    """Pad, embed and decode one clip."""
    started = time.perf_counter()
    embeddings = peer.embed(pcm)
    embedded = time.perf_counter()
    peer.generate(embeddings, count)
    return Spent(embedded - started, time.perf_counter() - embedded)


def num_tokens(seconds: float) -> int:
    """Tokens that are generated for so much audio."""
    return max(1, round(seconds * TOKENS_PER_SECOND))


def measure(ours: OwnHearing, peer: TransformersHearing, seconds: float, rounds: int) -> dict[str, Any]:
    """Both on one clip, in turns, the first to go changing each round."""
    count, numbers = num_tokens(seconds), itertools.count()
    runs: dict[str, list[Spent]] = {"ours": [], "peer": []}
    pair: list[tuple[str, Callable[[Pcm], Spent]]] = [
        ("ours", lambda pcm: ours.hear(pcm, count)),
        ("peer", lambda pcm: hear_by_peer(peer, pcm, count)),
    ]
    for turn in range(WARM_UP_ROUNDS + rounds):
        clip = make_clip(seconds, next(numbers))
        for name, hear in pair if turn % 2 == 0 else pair[::-1]:
            spent = hear(clip)
            if turn >= WARM_UP_ROUNDS:
                runs[name].append(spent)
    return {"audio_seconds": seconds, **compared(runs, seconds)}


def compared(runs: dict[str, list[Spent]], seconds: float) -> dict[str, Any]:
    """Both sides, and how many times faster ours is, by rounds."""
    summed = {name: summary(spent, seconds) for name, spent in runs.items()}
    ratios = [b.total / a.total for a, b in zip(runs["ours"], runs["peer"], strict=True)]
    return {
        **summed,
        "times_faster": round(statistics.median(ratios), 2),
        "times_faster_spread": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def summary(runs: Sequence[Spent], seconds: float) -> dict[str, Any]:
    """Seconds a second of audio: median, least, most, and the median of each stage."""
    rates = sorted(run.total / seconds for run in runs)
    return {
        "seconds_per_audio_second": round(statistics.median(rates), 5),
        "spread": [round(rates[0], 5), round(rates[-1], 5)],
        "embed": round(statistics.median(run.embed for run in runs) / seconds, 5),
        "generate": round(statistics.median(run.generate for run in runs) / seconds, 5),
    }


def agree(ours: OwnHearing, peer: TransformersHearing) -> bool:
    """Whether both decoders, given the same audio embeddings, write the same tokens."""
    embeddings = ours.embedder.embed([make_clip(5.0)])
    return ours.generate(embeddings, 15) == peer.generate(embeddings, 15)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="seconds of work a second of audio, against transformers")
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "eureka-nano")
    parser.add_argument("--numerics", choices=NUMERICS, default="exact")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds a clip length")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "benchmarks" / "hear.json")
    arguments = parser.parse_args(argv)
    if not arguments.checkpoint.is_dir():
        print(f"there is no checkpoint folder {arguments.checkpoint}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    model, tokenizer = torch_model(arguments.checkpoint), Tokenizer.from_folder(arguments.checkpoint)
    ours = OwnHearing(Side(arguments.checkpoint, arguments.numerics), time.perf_counter)
    peer = TransformersHearing(model, tokenizer)
    report = {
        "benchmark": "hear",
        "command": " ".join(["python", "benchmarks/hear.py", *(sys.argv[1:] if argv is None else argv)]),
        "checkpoint": model.config.name,
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {
            "eureka": __version__,
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "threads": 1,
        "numerics": arguments.numerics,
        "rounds": arguments.rounds,
        "tokens_per_audio_second": TOKENS_PER_SECOND,
        "peer_window_seconds": PEER_WINDOW_SECONDS,
        "same_tokens_from_same_embeddings": agree(ours, peer),
        "results": [measure(ours, peer, seconds, arguments.rounds) for seconds in CLIP_SECONDS],
    }
    text = json.dumps(report, indent=2)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
