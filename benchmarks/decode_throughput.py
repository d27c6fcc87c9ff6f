"""Decoded tokens a second by the paper's protocol: 200 clips, one by one, at most 2,000 new tokens each.

The figure is the mean over the clips of tokens a second, counted from the first token of an answer to its
last, by the clock; answers of one token say nothing and are left out. The share of all tokens over all that
time stands beside it.

    python benchmarks/decode_throughput.py [--numerics exact|fast] [--clips N] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pace.figures import Row, Value
from pace.results import REPOSITORY, RESULTS, add_rows, read_report, to_markdown
from pace.same_ids import dev_clips
from pace.sides import NUMERICS, Asked, Numerics, Side, torch_model
from pace.suite import Suite

from eureka.engine.engine import Engine
from eureka.engine.request import Request
from eureka.runtime.settings import Settings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Ending, SamplingParams

NUM_CLIPS = 200
MAX_NEW_TOKENS = 2_000
CONTEXT_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Answer:
    """What one clip cost.

    Attributes:
        num_tokens: of the answer.
        seconds: from its first token to its last.
        ending: how it ended.
    """

    num_tokens: int
    seconds: float
    ending: Ending | None

    @property
    def tokens_a_second(self) -> float:
        """Of the steps behind the first token."""
        return (self.num_tokens - 1) / self.seconds


def answers(suite: Suite, numerics: Numerics, count: int) -> Iterator[Answer]:
    """Transcripts of dev clips, each ended by the model, a loop, or the limit."""
    side, config = Side(suite.checkpoint, numerics), torch_model(suite.checkpoint).config
    tokenizer = Tokenizer.from_folder(suite.checkpoint)
    prompts, embedder = PromptBuilder(tokenizer, config), side.embedder()
    backend = side.backend(1, CONTEXT_TOKENS)
    engine = Engine(backend, tokenizer.end_id, repetition_penalty=config.repetition_penalty)
    for number, pcm in enumerate(dev_clips(suite.data_folder, count)):
        rows = embedder.embed([pcm])
        yield answer(engine, str(number), Asked(prompts.transcribe(len(rows)), rows))


def answer(engine: Engine, name: str, asked: Asked) -> Answer:
    """Ask, and take the time between tokens."""
    prompt, sampling = asked.prompt, SamplingParams(max_new_tokens=MAX_NEW_TOKENS)
    request = Request(name, prompt.prompt_ids, prompt.token_type_ids, asked.embeddings, sampling=sampling)
    handle, times = engine.submit(request), []
    for delta in handle:
        times += [time.perf_counter()] * len(delta.token_ids)
    return Answer(len(times), times[-1] - times[0] if times else 0.0, handle.ending)


def rows_of(numerics: Numerics, done: Sequence[Answer]) -> list[Row]:
    """Mean over the clips, and all tokens over all time."""
    long = [one for one in done if one.num_tokens > 1]
    mean = statistics.mean(one.tokens_a_second for one in long)
    whole = sum(one.num_tokens - 1 for one in long) / sum(one.seconds for one in long)
    endings = {ending.value: sum(one.ending is ending for one in done) for ending in Ending}
    ended = ", ".join(f"{count} {name}" for name, count in endings.items() if count)
    note = f"{len(done)} dev clips, at most {MAX_NEW_TOKENS} new tokens, onnx {numerics}, 1 thread; {ended}; "
    note += f"{statistics.mean(one.num_tokens for one in done):.1f} tokens an answer"
    spread = (min(one.tokens_a_second for one in long), max(one.tokens_a_second for one in long))
    name = f"decode_throughput_{numerics}"
    return [
        Row(name, Value(mean, "tokens/s, mean over clips", None, spread), note, is_goal=False),
        Row(f"{name}_all", Value(whole, "tokens/s, all tokens over all time"), note, is_goal=False),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="decoded tokens a second by the paper's protocol")
    parser.add_argument("--numerics", choices=NUMERICS, default="exact")
    parser.add_argument("--clips", type=int, default=NUM_CLIPS)
    parser.add_argument("--checkpoint", type=Path, help="folder; the settings' otherwise")
    parser.add_argument("--quick", action="store_true", help="few clips, and nothing in results.json")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    settings = Settings()
    suite = Suite(arguments.checkpoint or settings.checkpoint, settings.data_folder, arguments.quick)
    quick = REPOSITORY / "build" / "benchmarks" / "results-quick.json"
    output = arguments.output or (quick if suite.is_quick else RESULTS)
    done = list(answers(suite, arguments.numerics, suite.size(arguments.clips, 8)))
    rows = rows_of(arguments.numerics, done)
    add_rows(output, rows)
    print(to_markdown(read_report(output), [row.name for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
