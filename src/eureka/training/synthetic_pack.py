"""Makes the feature pack of synthetic speech, and lists the unheard clips that it is measured on.

    python -m eureka.training.synthetic_pack --folder runs/data/synthetic --clips 36000 --processes 2

Clip k is drawn from (seed, k) alone, so the pack does not depend on the number of processes, and a run
that was stopped goes on where it was. Each process writes a part; the parts are joined at the end.
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

from eureka.training.feature_pack import CLIPS_NAME, FeaturePackWriter, join_packs
from eureka.training.speech_synthesis import (
    DEMO_VOICES,
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

_FLUSH_EVERY = 100


@dataclass(frozen=True, slots=True)
class SyntheticItem:
    """One clip to be spoken: the text to be recognised, what the engine is given, and the voice."""

    id: str
    text: GeneratedText
    spoken: str
    voice: Voice


@dataclass(frozen=True, slots=True)
class PackOrder:
    """What one process is to make: clips `first`, `first` + `step`, ... below `num_clips`."""

    folder: Path
    num_clips: int
    first: int
    step: int
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
    """The speech of `items`, in order."""
    synthesizer = Synthesizer()
    return [
        speak_item(synthesizer, item, np.random.default_rng([seed, _TEST_STREAM, 1, number]))
        for number, item in enumerate(items)
    ]


def demo_item(seed: int) -> SyntheticItem:
    """A sentence for the demo, unused in training, in one of the demo's voices."""
    rng = np.random.default_rng([seed, _TEST_STREAM, 2])
    text = TextGenerator().draw_test(rng, str(rng.choice(["command", "order", "sentence"])))
    name = str(rng.choice(DEMO_VOICES))
    voice = Voice("espeak", name, rate=int(rng.integers(130, 166)), pitch=int(rng.integers(40, 61)))
    return SyntheticItem(f"demo-{seed}", text, text.text + ".", voice)


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


def make_part(order: PackOrder) -> None:
    """Write one process's clips, going on after those that are there."""
    texts, synthesizer = TextGenerator(order.texts), Synthesizer()
    with FeaturePackWriter(order.folder, NUM_MEL_BINS) as writer:
        numbers = range(order.first, order.num_clips, order.step)
        for number in numbers[writer.num_clips :]:
            item, speech = _fitting_clip(texts, synthesizer, order.seed, number)
            writer.add(speech.pcm, _clip_meta(item, speech))
            if writer.num_clips % _FLUSH_EVERY == 0:
                writer.flush()


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
    """Make the whole pack at `folder`, printing a line of progress every ten seconds.

    Raises:
        RuntimeError: a process failed; its own message is on the error stream.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # inherited by the spawned processes
    texts = tuple(read_texts(data_folder))
    parts = [folder / f"part-{number}" for number in range(num_processes)]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=make_part, args=(PackOrder(part, num_clips, number, num_processes, seed, texts),)
        )
        for number, part in enumerate(parts)
    ]
    started = time.monotonic()
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        processes[0].join(10)
        _print_progress(parts, num_clips, time.monotonic() - started)
    if any(process.exitcode for process in processes):
        raise RuntimeError("a process failed; start the same command again to go on")
    join_packs(parts, folder)
    for part in parts:
        shutil.rmtree(part)


def _print_progress(parts: list[Path], num_clips: int, seconds: float) -> None:
    done = 0
    for part in parts:
        if (part / CLIPS_NAME).is_file():
            done += (part / CLIPS_NAME).read_bytes().count(b"\n")
    print(f"{done} of {num_clips} clips, {seconds:.0f} s", flush=True)


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
