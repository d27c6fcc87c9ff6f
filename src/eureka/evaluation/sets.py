"""Evaluation clips: recordings of a data pack by subset and split, and clips composed of them.

Composed sets (digit strings, joined windows, noise) are drawn by seed and are the same on every
machine. Scenes and synthetic speech are made with the tools of `eureka.training`; see
`composed_sets`. Decoding is that of serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eureka.audio.decode import DecodeLimits, decode_all
from eureka.evaluation.metrics import TimedEvent
from eureka.training.manifest import ManifestClip, read_manifest
from eureka.training.sound_labels import TEN_SOUNDS
from eureka.types import SAMPLE_RATE_HZ, Pcm

Thing = TypeVar("Thing")

DIGIT_LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAKE_LABELS = ("alexa", "computer", "jarvis", "smart mirror", "snowboy", "view glass")
SOUND_LABELS = tuple(label.replace("_", " ") for label in TEN_SOUNDS)

SPEECH_SUBSETS = ("speechocean762", "fsdd", "wake_words")
"""Subsets with word-for-word transcripts in the pack's dev split, from which windows are joined."""

MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS = 20.0, 30.0
"""Length of joined windows."""

MAX_GAP_SECONDS = 0.3
"""Longest pause between clips that are joined; it is drawn between none and this."""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationClip:
    """A clip and what is known about it.

    Attributes:
        clip_id: unique in its set; names the source.
        pcm: samples (S,) float32, 16 kHz.
        text: what is said; None where no transcript exists.
        label: the manifest's label, spaces for underscores.
        events: what is heard when, in a composed scene.
        slots: slot name -> value of an order.
        parts: ids of the clips that this one was joined from.
        caption: the timed caption as the model is trained to write it.
        speaker: speaker or voice, where known.
    """

    clip_id: str
    pcm: Pcm
    text: str | None = None
    label: str | None = None
    events: tuple[TimedEvent, ...] = ()
    slots: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    caption: str | None = None
    speaker: str | None = None

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.pcm) / SAMPLE_RATE_HZ


def load_subset(data_folder: Path, subset: str, split: str, limit: int | None = None) -> list[EvaluationClip]:
    """Decoded clips of a subset and split, in manifest order.

    Args:
        limit: at most this many, drawn by the hash of their paths, so that all labels and speakers are
            met and the choice is the same every time.

    Raises:
        NotFoundError: the folder holds no manifest.
    """
    rows = [row for row in read_manifest(data_folder, split) if row.subset == subset]
    return [_decode(data_folder, row) for row in thin_out(rows, limit)]


def thin_out(rows: Sequence[ManifestClip], limit: int | None) -> list[ManifestClip]:
    """At most `limit` rows, picked by the hash of their paths, in the order given."""
    return pick_spread(rows, lambda row: row.path, limit)


def pick_spread(items: Sequence[Thing], name: Callable[[Thing], str], limit: int | None) -> list[Thing]:
    """At most `limit` items, picked by the hash of their names, in the order given."""
    if limit is None or len(items) <= limit:
        return list(items)
    picked = sorted(range(len(items)), key=lambda i: _hash(name(items[i])))[:limit]
    return [items[i] for i in sorted(picked)]


def _hash(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8")).hexdigest()


def _decode(data_folder: Path, row: ManifestClip) -> EvaluationClip:
    pcm = decode_all(data_folder / row.path, DecodeLimits())
    return EvaluationClip(
        clip_id=row.path,
        pcm=pcm,
        text=row.text,
        label=None if row.label is None else row.label.replace("_", " "),
        slots=dict(row.slots),
        speaker=row.speaker,
    )


def digit_strings(
    digits: Sequence[EvaluationClip], count: int, seed: int, digits_each: int = 4
) -> list[EvaluationClip]:
    """Strings of spoken digits, each of one speaker, pauses of up to `MAX_GAP_SECONDS` between them."""
    draw = np.random.default_rng([seed, 1])
    speakers = sorted({clip.speaker or "" for clip in digits})
    strings = []
    for number in range(count):
        speaker = speakers[int(draw.integers(len(speakers)))]
        pool = [clip for clip in digits if (clip.speaker or "") == speaker]
        chosen = [pool[int(i)] for i in draw.integers(len(pool), size=digits_each)]
        strings.append(replace(join_clips(chosen, draw, f"digits-{number}"), speaker=speaker))
    return strings


def joined_windows(clips: Sequence[EvaluationClip], count: int, seed: int) -> list[EvaluationClip]:
    """Windows of 20-30 s joined from whole clips with transcripts, each clip used at most once.

    Ends early when the clips are used up.
    """
    draw = np.random.default_rng([seed, 2])
    pool = [clip for clip in clips if clip.text]
    order = [pool[int(i)] for i in draw.permutation(len(pool))]
    windows: list[EvaluationClip] = []
    chosen: list[EvaluationClip] = []
    goal = draw.uniform(MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS)
    for clip in order:
        if len(windows) == count:
            break
        if _length(chosen) + clip.seconds + MAX_GAP_SECONDS > MAX_WINDOW_SECONDS:
            continue
        chosen.append(clip)
        if _length(chosen) >= min(goal, MAX_WINDOW_SECONDS - 2.0):
            windows.append(join_clips(chosen, draw, f"joined-{len(windows)}"))
            chosen, goal = [], draw.uniform(MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS)
    return windows


def _length(clips: Iterable[EvaluationClip]) -> float:
    """Longest that the clips can become when joined."""
    return sum(clip.seconds + MAX_GAP_SECONDS for clip in clips)


def join_clips(clips: Sequence[EvaluationClip], draw: np.random.Generator, clip_id: str) -> EvaluationClip:
    """One clip of several with short pauses of digital silence between them; texts are joined."""
    pieces: list[Pcm] = []
    for clip in clips:
        if pieces:
            pieces.append(np.zeros(int(draw.uniform(0, MAX_GAP_SECONDS) * SAMPLE_RATE_HZ), dtype=np.float32))
        pieces.append(clip.pcm)
    return EvaluationClip(
        clip_id=clip_id,
        pcm=np.concatenate(pieces),
        text=" ".join(clip.text or "" for clip in clips),
        parts=tuple(clip.clip_id for clip in clips),
    )


def spread_over_labels(clips: Sequence[EvaluationClip], count: int) -> list[EvaluationClip]:
    """At most `count` clips, labels (or texts) in turn."""
    queues: dict[str, list[EvaluationClip]] = {}
    for clip in clips:
        queues.setdefault(clip.label or clip.text or "", []).append(clip)
    turns = max((len(queue) for queue in queues.values()), default=0)
    dealt = [queue[turn] for turn in range(turns) for queue in queues.values() if turn < len(queue)]
    return dealt[:count]


def quiet_clips(count: int, seed: int) -> list[EvaluationClip]:
    """Digital silence and noise in turn (white, pink, brown and faint), of 0.5 to 8 s; no words in any."""
    draw = np.random.default_rng([seed, 3])
    kinds = ("silence", "white", "pink", "brown", "faint")
    clips = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        length = int(draw.uniform(0.5, 8.0) * SAMPLE_RATE_HZ)
        clips.append(EvaluationClip(f"{kind}-{number}", _noise(kind, length, draw), text="", label=kind))
    return clips


SPECTRAL_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0, "faint": 0.0}
"""Exponent of 1/f of the amplitude spectrum, by colour of noise."""

FAINT_PEAK = 10 ** (-60 / 20)
"""Above the silence rule's -70 dBFS, so the model does hear it."""


def _noise(kind: str, length: int, draw: np.random.Generator) -> Pcm:
    if kind == "silence":
        return np.zeros(length, dtype=np.float32)
    spectrum: NDArray[np.complex128] = np.fft.rfft(draw.normal(size=length))
    steps = np.maximum(np.arange(len(spectrum)), 1)
    coloured = np.fft.irfft(spectrum / steps ** SPECTRAL_SLOPES[kind], n=length)
    peak = FAINT_PEAK if kind == "faint" else 10 ** (draw.uniform(-40, -6) / 20)
    noise: Pcm = (coloured / np.abs(coloured).max() * peak).astype(np.float32)
    return noise
