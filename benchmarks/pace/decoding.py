"""C1, C3 and D06: milliseconds of a decode step against `generate` of transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from eureka.engine.engine import Engine
from eureka.model.config import DecoderConfig, EncoderConfig, EurekaConfig
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.text.prompts import Prompt
from pace.figures import Row, compare, in_turns, middle
from pace.sides import (
    GRAPHS,
    Asked,
    Side,
    bare_step_seconds,
    engine_step_seconds,
    kinds,
    torch_model,
)
from pace.suite import Suite, random_rows, transcribe_prompt
from pace.transformers_side import TransformersDecoder

NUM_AUDIO_TOKENS = 375
"""30 s of audio: the longest window that Whisper-style models hear."""

NUM_TOKENS, NUM_ROUNDS = 64, 9
LARGE_PROMPT_TOKENS, LARGE_TOKENS, LARGE_ROUNDS = 64, 12, 3
"""A prompt of the large shape costs seconds; a step reads all weights however long it is."""

LARGE_VOCABULARY = 32_768
"""Qwen3-0.6B has 151,936; the rest would be 0.5 GB a side without another kind of work."""

MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder and what it is asked.

    Attributes:
        folder: checkpoint.
        asked: prompts of one length, as many as are decoded together.
        num_tokens: of each answer.
        num_rounds: that count.
        label: for notes.
        graphs: folder that keeps graphs.
    """

    folder: Path
    asked: Sequence[Asked]
    num_tokens: int
    num_rounds: int
    label: str
    graphs: Path = GRAPHS


def nano_single(suite: Suite) -> Iterator[Row]:
    """One stream of the shipped model."""
    yield from _rows(_nano(suite, 1), {"exact": "C1_exact", "fast": "C1_fast"}, has_static=True)


def nano_batches(suite: Suite) -> Iterator[Row]:
    """Eight and 32 streams of it."""
    for count in (8, 32):
        names = {"exact": f"C3_{count}_exact", "fast": f"C3_{count}"}
        yield from _rows(_nano(suite, count), names, has_static=count == 8)


def large(suite: Suite) -> Iterator[Row]:
    """One and eight streams of random weights in the shape of Qwen3-0.6B."""
    with tempfile.TemporaryDirectory(prefix="eureka-bench-") as scratch:
        folder = write_large(Path(scratch), suite)
        for count in (1, 8):
            names = {"exact": f"D06_{count}_exact", "fast": f"D06_{count}"}
            yield from _rows(_large(suite, folder, count), names)
    torch_model.cache_clear()


def _nano(suite: Suite, count: int) -> Shape:
    asked = [transcribe_prompt(suite.checkpoint, NUM_AUDIO_TOKENS, seed) for seed in range(count)]
    num_tokens = suite.size(NUM_TOKENS, 8)
    return Shape(suite.checkpoint, asked, num_tokens, suite.rounds(NUM_ROUNDS), f"nano, {count} at once")


def _large(suite: Suite, folder: Path, count: int) -> Shape:
    width = torch_model(folder).config.backbone.hidden_size
    ids = np.zeros(LARGE_PROMPT_TOKENS, dtype=np.int64)
    prompt = Prompt(ids, np.full_like(ids, 3))
    asked = [Asked(prompt, 0.02 * random_rows(len(ids), width, seed)) for seed in range(count)]
    label = f"0.6B shape, vocabulary {LARGE_VOCABULARY}, {count} at once"
    return Shape(
        folder, asked, suite.size(LARGE_TOKENS, 4), suite.rounds(LARGE_ROUNDS), label, folder / "graphs"
    )


def write_large(folder: Path, suite: Suite) -> Path:
    """A checkpoint of random weights, its encoder and adapter as small as can be."""
    config = replace(
        EurekaConfig.from_folder(suite.checkpoint),
        name="random-0.6b",
        backbone=DecoderConfig(
            vocab_size=LARGE_VOCABULARY,
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=2 if suite.is_quick else 28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=True,
        ),
        audio_encoder=EncoderConfig(
            num_mel_bins=80, d_model=64, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=64
        ),
    )
    adapter = {**config.adapter, "input_size": 256, "output_size": 1024, "projection_sizes": [1024]}
    torch.manual_seed(0)
    model = EurekaAudio(replace(config, adapter=adapter))
    model.reset_parameters()
    save_checkpoint(model, folder)
    return folder


def _rows(shape: Shape, names: dict[str, str], has_static: bool = False) -> Iterator[Row]:
    """Each kind of numerics against both caches of transformers, and the bare step beside it."""
    own = {Side.of(shape.folder, kind, shape.graphs): kind for kind in kinds(shape.folder)}
    engines = {side.name: side.engine(len(shape.asked)) for side in own}
    spent = in_turns(_sides(shape, engines, has_static), shape.num_rounds)
    for side, kind in own.items():
        name, what = names[kind.numerics] + kind.suffix, f"{shape.label}, {side.name}"
        against = compare(spent[side.name], spent["peer"], "ms a step", MILLISECONDS)
        note = f"{what} against generate fp32, dynamic cache; processor time, 1 thread"
        yield Row(name, against, note, is_goal=kind.is_default)
        if has_static:
            static = compare(spent[side.name], spent["static"], "ms a step", MILLISECONDS)
            yield Row(f"{name}_static", static, f"{what} against generate fp32, static cache", is_goal=False)
        bare = middle(spent[f"bare {side.name}"], "ms a step", MILLISECONDS)
        yield Row(f"{name}_bare", bare, f"{what}: the backend's decode without the engine", is_goal=False)


def _sides(shape: Shape, engines: Mapping[str, Engine], has_static: bool) -> dict[str, Callable[[], float]]:
    asked, count = shape.asked, shape.num_tokens
    peer = TransformersDecoder(torch_model(shape.folder).backbone)
    inputs = torch.stack([peer.embed(one.prompt, one.embeddings) for one in asked])
    sides: dict[str, Callable[[], float]] = {"peer": lambda: peer.generate(inputs, count).step_seconds}
    if has_static:
        sides["static"] = lambda: peer.generate(inputs, count, cache_implementation="static").step_seconds
    for name, engine in engines.items():
        sides[name] = lambda engine=engine: engine_step_seconds(engine, asked, count)
        sides[f"bare {name}"] = lambda engine=engine: bare_step_seconds(engine.backend, asked, count)
    return sides
