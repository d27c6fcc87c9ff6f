"""Makes the feature pack of synthetic speech, and lists the unheard clips that it is measured on.

    python -m eureka.training.synthetic_pack --folder runs/data/synthetic --clips 36000 --processes 2

Clip k is drawn from (seed, k) alone, and each part of the pack is spoken by a fresh process: the pack does
not depend on the number of processes, and a run that was stopped goes on after the parts that are whole.
The parts are joined at the end.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eureka.training.feature_pack import FeaturePackWriter, join_packs
from eureka.training.speech_synthesis import (
    Speech,
    Synthesizer,
    Voice,
    random_test_voice,
    random_train_voice,
    trim_and_level,
)
from eureka.training.text_generator import GeneratedText, TextGenerator, read_texts, with_punctuation
from eureka.types import SAMPLE_RATE_HZ

NUM_MEL_BINS = 80
LONGEST_SECONDS = 12.0
"""Longer clips are drawn anew: the encoder's batches have 10 s windows and a little room."""

_TEST_STREAM = 1_000_003
"""Keeps the random numbers of test items apart from those of training clips with the same seed."""

PART_CLIPS = 500
"""Clips of one part: a few seconds of work, many times what it takes to start a process."""


@dataclass(frozen=True, slots=True)
class SyntheticItem:
    """One clip to be spoken: the text to be recognised, what the engine is given, and the voice."""

    id: str
    text: GeneratedText
    spoken: str
    voice: Voice


@dataclass(frozen=True, slots=True)
class PartOrder:
    """What one process is to make: the clips `first` up to `end` of the pack."""

    folder: Path
    first: int
    end: int
    seed: int
    texts: tuple[str, ...]


def speak_item(synthesizer: Synthesizer, item: SyntheticItem, rng: np.random.Generator) -> Speech:
    """The item's speech, trimmed and set to a loudness that `rng` draws."""
    return trim_and_level(synthesizer.speak(item.spoken, item.voice), rng)


def synthetic_test_items(seed: int, num_items: int) -> list[SyntheticItem]:
    """The evaluation list: texts that no training uses, in voices that no training clip has."""
    texts = TextGenerator()
    items = []
    for number in range(num_items):
        rng = np.random.default_rng([seed, _TEST_STREAM, number])
        text = texts.draw_test(rng)
        spoken = with_punctuation(text.text, rng)
        items.append(SyntheticItem(f"synthetic-test-{seed}-{number}", text, spoken, random_test_voice(rng)))
    return items


def synthetic_test_speech(items: list[SyntheticItem], seed: int) -> list[Speech]:
    """The speech of `items`, in order; by a fresh process, so the same every time for the same list."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_speak_items, (items, seed))


def _speak_items(items: list[SyntheticItem], seed: int) -> list[Speech]:
    synthesizer = Synthesizer()
    return [
        speak_item(synthesizer, item, np.random.default_rng([seed, _TEST_STREAM, 1, number]))
        for number, item in enumerate(items)
    ]


def train_item(texts: TextGenerator, seed: int, number: int, attempt: int) -> SyntheticItem:
    """Clip `number` of the training pack; `attempt` counts what was drawn before and did not fit."""
    rng = np.random.default_rng([seed, number, attempt])
    text = texts.draw_train(rng)
    spoken = with_punctuation(text.text, rng)
    return SyntheticItem(f"synthetic-{seed}-{number}", text, spoken, random_train_voice(rng))


def _clip_meta(item: SyntheticItem, speech: Speech) -> dict[str, Any]:
    meta = {
        "id": item.id,
        "kind": "synthetic_speech",
        "split": "train",
        "text": item.text.text,
        "text_kind": item.text.kind,
        "phones": speech.phone_frames(),
        **speech.voice.to_dict(),
    }
    return meta | ({"slots": item.text.slots} if item.text.slots else {})


def make_part(order: PartOrder) -> int:
    """Write one part of the pack, unless it is there, and give the number of its clips.

    A draft that a stopped run left behind is thrown away: a fresh engine starts with the first clip.
    """
    if not order.folder.is_dir():
        draft = order.folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        texts, synthesizer = TextGenerator(order.texts), Synthesizer()
        with FeaturePackWriter(draft, NUM_MEL_BINS) as writer:
            for number in range(order.first, order.end):
                item, speech = _fitting_clip(texts, synthesizer, order.seed, number)
                writer.add(speech.pcm, _clip_meta(item, speech))
        draft.rename(order.folder)
    return order.end - order.first


def _fitting_clip(
    texts: TextGenerator, synthesizer: Synthesizer, seed: int, number: int
) -> tuple[SyntheticItem, Speech]:
    """Clip `number`, drawn again as long as its speech is too long."""
    for attempt in itertools.count():
        item = train_item(texts, seed, number, attempt)
        speech = speak_item(synthesizer, item, np.random.default_rng([seed, number, attempt, 1]))
        if len(speech.pcm) <= LONGEST_SECONDS * SAMPLE_RATE_HZ:
            break
    return item, speech


def make_pack(folder: Path, num_clips: int, num_processes: int, seed: int, data_folder: Path) -> None:
    """Make the whole pack at `folder`, printing a line of progress for each part."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # inherited by the spawned processes
    texts = tuple(read_texts(data_folder))
    starts = range(0, num_clips, PART_CLIPS)
    parts = folder / f"parts-{seed}"
    orders = [
        PartOrder(parts / f"{start:06d}", start, min(start + PART_CLIPS, num_clips), seed, texts)
        for start in starts
    ]
    started, done = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(num_processes, maxtasksperchild=1) as pool:
        for made in pool.imap_unordered(make_part, orders):
            done += made
            print(f"{done} of {num_clips} clips, {time.monotonic() - started:.0f} s", flush=True)
    join_packs([order.folder for order in orders], folder)
    shutil.rmtree(parts)


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m eureka.training.synthetic_pack`."""
    parser = argparse.ArgumentParser(description="Make the feature pack of synthetic speech.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=36_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    chosen = parser.parse_args(arguments)
    make_pack(chosen.folder, chosen.clips, chosen.processes, chosen.seed, chosen.data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
