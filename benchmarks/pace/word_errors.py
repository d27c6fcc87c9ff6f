"""C8: what fast numerics cost in word errors, over all dev clips with a transcript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eureka.engine.engine import Engine
from eureka.engine.runner import EngineRunner
from eureka.evaluation.metrics import Tally, word_errors
from eureka.evaluation.sets import SPEECH_SUBSETS, EvaluationClip, load_subset
from eureka.model.config import EurekaConfig
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import SamplingParams
from pace.figures import Row, Value, paired_interval
from pace.sides import Kind, Side, kinds
from pace.suite import Suite

SUBSETS = (*SPEECH_SUBSETS, "read_speech")
"""Those of the pack's dev split that have word-for-word transcripts."""

MAX_COST_POINTS = 1.0
NUM_SLOTS = 8
OPTIONS = ListenOptions(sampling=SamplingParams(max_new_tokens=192))
PERCENT = 100.0


def fast_cost(suite: Suite) -> Iterator[Row]:
    """Word error rate of fast and exact numerics on the same clips, the difference with its interval."""
    limit = 10 if suite.is_quick else None
    clips = [c for subset in SUBSETS for c in load_subset(suite.data_folder, subset, "dev", limit)]
    exact = _errors(suite.checkpoint, clips, Side(suite.checkpoint))
    for kind in kinds(suite.checkpoint):
        if kind.numerics == "fast":
            side = Side.of(suite.checkpoint, kind)
            yield from _cost(clips, exact, _errors(suite.checkpoint, clips, side), side.name, kind)


def _cost(clips: Sequence[EvaluationClip], exact: Tally, fast: Tally, what: str, kind: Kind) -> Iterator[Row]:
    cost, low, high = (
        PERCENT * value
        for value in paired_interval(
            exact.numerators.tolist(), fast.numerators.tolist(), exact.denominators.tolist()
        )
    )
    note = f"{len(clips)} dev clips of {', '.join(SUBSETS)}: exact {exact.value:.2%}, {what} {fast.value:.2%}"
    interval = f"cost {cost:+.2f} points, 95 % paired bootstrap {low:+.2f} to {high:+.2f}"
    upper = Value(high, "points of WER, upper end", MAX_COST_POINTS, (low, high))
    yield Row(f"C8{kind.suffix}", upper, f"{note}; {interval}", is_goal=kind.is_default)
    figure = Value(cost, "points of WER", None, (low, high))
    yield Row(f"C8{kind.suffix}_cost", figure, note, is_goal=False)


def _errors(checkpoint: Path, clips: Sequence[EvaluationClip], side: Side) -> Tally:
    heard = transcribe(checkpoint, clips, side)
    return word_errors([clip.text or "" for clip in clips], heard)


def transcribe(checkpoint: Path, clips: Sequence[EvaluationClip], side: Side) -> list[str]:
    """Transcripts as the local commands give them, several clips at a time."""
    config, tokenizer = EurekaConfig.from_folder(checkpoint), Tokenizer.from_folder(checkpoint)
    penalty = config.repetition_penalty
    engine = Engine(side.backend(NUM_SLOTS, 4096), tokenizer.end_id, repetition_penalty=penalty)
    decoder = EngineDecoder(engine, tokenizer, PromptBuilder(tokenizer, config))
    settings = ListenerSettings(config.name, best_window_seconds=config.best_window_seconds)
    listener = Listener(side.embedder(), decoder, settings)
    with EngineRunner(engine), ThreadPoolExecutor(NUM_SLOTS) as pool:
        return list(pool.map(lambda clip: listener.transcribe("", [clip.pcm], OPTIONS).text, clips))
