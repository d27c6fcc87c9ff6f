"""How well captions tell that somebody speaks: the check that jobs make of transcripts without words.

`python -m eureka.evaluation.speech_check CHECKPOINT DATA` prints one row a kind of clip: how many transcripts
are empty, and how many captions tell of speech. Clips are those of the dev split, which training never saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.evaluation.hearing import Ear, Question
from eureka.evaluation.sets import load_subset, quiet_clips
from eureka.pipeline.speech import tells_of_speech
from eureka.types import Pcm, Task

SPEECH_SUBSETS = ("speechocean762", "fsdd", "wake_words", "coffee_orders", "read_speech")

MIXED_DB = 0.0
"""Level of the speech over the sound that it is mixed with, both by RMS."""

SEED = 17


@dataclass(frozen=True, slots=True)
class CheckedKind:
    """What was found about the clips of one kind.

    Attributes:
        kind: of clips.
        num_clips: how many.
        num_empty: transcripts without words.
        num_told: captions that tell of speech.
    """

    kind: str
    num_clips: int
    num_empty: int
    num_told: int


def check_kind(ear: Ear, kind: str, clips: Sequence[Pcm]) -> CheckedKind:
    """Transcripts and captions of the clips, counted."""
    transcripts = ear.hear_all(clips, [Question(Task.TRANSCRIBE)] * len(clips))
    captions = ear.hear_all(clips, [Question(Task.CAPTION)] * len(clips))
    num_empty = sum(not heard.text for heard in transcripts)
    num_told = sum(tells_of_speech(heard.text) for heard in captions)
    return CheckedKind(kind, len(clips), num_empty, num_told)


def mixed(speech: Pcm, sound: Pcm) -> Pcm:
    """Speech over a sound at `MIXED_DB`, as long as the speech; the sound is repeated."""
    sound = np.resize(sound, len(speech))
    gain = _level(speech) / max(_level(sound), 1e-9) * 10 ** (-MIXED_DB / 20)
    return np.clip(speech + gain * sound, -1, 1).astype(np.float32)


def kinds(data_folder: Path, limit: int) -> Iterator[tuple[str, list[Pcm]]]:
    """Name and clips of each kind; the last two hold no speech."""
    speech = {name: _pcm(data_folder, name, limit) for name in SPEECH_SUBSETS}
    yield from speech.items()
    sounds = _pcm(data_folder, "esc10", limit)
    pairs = zip(speech["speechocean762"], sounds, strict=False)
    yield "speechocean762 over esc10", [mixed(*pair) for pair in pairs]
    yield "esc10", sounds
    yield "silence and noise", [clip.pcm for clip in quiet_clips(min(limit, 50), SEED)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=100, help="clips of a kind (default: 100)")
    parser.add_argument("checkpoint", type=Path, help="folder of the checkpoint")
    parser.add_argument("data", type=Path, help="folder of the data pack")
    arguments = parser.parse_args()
    print("| clips | number | transcript empty | caption tells of speech |\n|---|---|---|---|")
    with Ear.from_folder(arguments.checkpoint) as ear:
        for kind, clips in kinds(arguments.data, arguments.limit):
            found = check_kind(ear, kind, clips)
            print(f"| {kind} | {found.num_clips} | {found.num_empty} | {found.num_told} |", flush=True)


def _pcm(data_folder: Path, subset: str, limit: int) -> list[Pcm]:
    return [clip.pcm for clip in load_subset(data_folder, subset, "dev", limit)]


def _level(pcm: Pcm) -> float:
    return float(np.sqrt(np.mean(np.square(pcm))))


if __name__ == "__main__":
    main()
