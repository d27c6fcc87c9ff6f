"""The demo's own sample: a sentence drawn and spoken at run time, with sounds laid beside it in time.

Everything is drawn by seed. The sentence is one that no training text equals, the voice one that no
training clip has. Without a speech engine a sentence rendered by us stands in; without the data pack the
sounds are computed (`rendered_sounds`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from eureka.audio.decode import DecodeLimits, decode_all
from eureka.errors import EurekaError, NotFoundError
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.rendered_sounds import render_sound
from eureka.training.manifest import ManifestClip, read_manifest
from eureka.training.speech_synthesis import DEMO_VOICES, TEST_FLITE_VOICES, Synthesizer, Voice
from eureka.training.text_generator import TextGenerator
from eureka.types import SAMPLE_RATE_HZ, Pcm

MAX_SECONDS = 9.9
"""The nano's best window is 10 s: what is asked of the demo is one window."""

MAX_WORDS = 9
"""A sentence of this many words leaves room for two sounds."""

ENGINES = ("espeak", "flite")
"""Speech engines, the better known one first."""

SENTENCE_KINDS = ("command", "sentence", "number")
DEMO_SOUNDS = ("rain", "clock tick", "helicopter", "sea waves", "chainsaw")
"""Labels that can be computed where no recordings are; a recording of the pack may be of any label."""

SPEECH_DBFS, SOUND_DBFS = -22.0, -25.0
MIN_SOUND_SECONDS, MAX_SOUND_SECONDS = 1.4, 2.4
GAP_SECONDS = 0.35
"""Pause between the sounds and the sentence."""

FLOOR_DBFS = -66.0
"""A little noise under everything, as in any room; digital silence is not what microphones give."""


@dataclass(frozen=True, slots=True, eq=False)
class DemoSample:
    """A sample and the truth about it.

    Attributes:
        pcm: (S,) float32, 16 kHz, at most `MAX_SECONDS`.
        text: what is said.
        speaker: who says it, for people.
        events: sounds and speaking, in order of start; speaking has the kind `speech`.
        sound_origin: where the sounds come from, for people.
    """

    pcm: Pcm
    text: str
    speaker: str
    events: tuple[TimedEvent, ...]
    sound_origin: str

    @property
    def sounds(self) -> tuple[TimedEvent, ...]:
        """The events that are not speech."""
        return tuple(event for event in self.events if event.kind != "speech")


@dataclass(frozen=True, slots=True, eq=False)
class _Spoken:
    pcm: Pcm
    text: str
    speaker: str


def make_demo_sample(
    seed: int, data_folder: Path | None = None, engines: Sequence[str] = ENGINES
) -> DemoSample:
    """Draw, speak and lay out a sample.

    Args:
        seed: draws sentence, voice, sounds and places; any whole number.
        data_folder: pack of recordings; its dev sounds are used where it is there.
        engines: speech engines to try, the first that is installed speaks.
    """
    draw = np.random.default_rng([abs(seed), 7])
    spoken = _speak(draw, engines)
    sounds, origin = _draw_sounds(draw, data_folder)
    room = MAX_SECONDS - len(spoken.pcm) / SAMPLE_RATE_HZ - 2 * GAP_SECONDS - 0.6
    longest = min(MAX_SOUND_SECONDS, room / 2)
    parts: list[tuple[str, Pcm]] = [
        (label, _level(pcm[: int(longest * SAMPLE_RATE_HZ)], SOUND_DBFS)) for label, pcm in sounds
    ]
    parts.insert(int(draw.integers(3)), ("speech", _level(spoken.pcm, SPEECH_DBFS)))
    pcm, events = _lay_in_time(parts, draw)
    return DemoSample(pcm, spoken.text, spoken.speaker, events, origin)


def _lay_in_time(
    parts: list[tuple[str, Pcm]], draw: np.random.Generator
) -> tuple[Pcm, tuple[TimedEvent, ...]]:
    """The parts one after another, pauses between them, over a faint floor."""
    gap = int(GAP_SECONDS * SAMPLE_RATE_HZ)
    place = int(0.3 * SAMPLE_RATE_HZ)
    starts = []
    for _, pcm in parts:
        starts.append(place)
        place += len(pcm) + gap
    mix = draw.normal(size=place - gap + int(0.3 * SAMPLE_RATE_HZ)) * 10 ** (FLOOR_DBFS / 20)
    for start, (_, pcm) in zip(starts, parts, strict=True):
        mix[start : start + len(pcm)] += pcm
    events = tuple(
        TimedEvent(kind, start / SAMPLE_RATE_HZ, (start + len(pcm)) / SAMPLE_RATE_HZ)
        for start, (kind, pcm) in zip(starts, parts, strict=True)
    )
    return np.clip(mix, -1, 1).astype(np.float32), events


def _level(pcm: Pcm, dbfs: float) -> Pcm:
    """The samples at that root mean square where they sound, faded at both ends, within full scale."""
    power = pcm.astype(np.float64) ** 2
    blocks = power[: len(power) // 320 * 320].reshape(-1, 320).mean(axis=1)  # 20 ms
    loud = blocks[blocks > blocks.max(initial=0) * 1e-3]
    rms = float(np.sqrt(loud.mean())) if len(loud) else 1.0
    gain = min(10 ** (dbfs / 20) / max(rms, 1e-9), 0.9 / max(float(np.abs(pcm).max(initial=0)), 1e-9))
    ramp = np.minimum(np.arange(len(pcm)), np.arange(len(pcm))[::-1]) / (0.01 * SAMPLE_RATE_HZ)
    levelled: Pcm = (pcm * gain * np.minimum(ramp, 1)).astype(np.float32)
    return levelled


def _speak(draw: np.random.Generator, engines: Sequence[str]) -> _Spoken:
    """The sentence by the first engine that works, or a clip of ours."""
    text = _draw_sentence(draw)
    espeak = Voice("espeak", str(draw.choice(DEMO_VOICES)), rate=int(draw.integers(130, 171)))
    voices = {"espeak": espeak, "flite": Voice("flite", TEST_FLITE_VOICES[0])}
    for voice in (voices[engine] for engine in engines):
        try:
            speech = Synthesizer().speak(text, voice)
        except (EurekaError, OSError):
            continue
        first, last = speech.phones[0].start_seconds, speech.phones[-1].end_seconds
        pcm = speech.pcm[max(0, int((first - 0.05) * SAMPLE_RATE_HZ)) : int((last + 0.05) * SAMPLE_RATE_HZ)]
        return _Spoken(pcm, text, f"{voice.engine}, voice {voice.name}")
    return _recorded_sentence(draw)


def _draw_sentence(draw: np.random.Generator) -> str:
    generator = TextGenerator()
    while True:
        text = generator.draw_test(draw, str(draw.choice(SENTENCE_KINDS))).text
        if len(text.split()) <= MAX_WORDS:
            return text


def _recorded_sentence(draw: np.random.Generator) -> _Spoken:
    """One of the sentences that we rendered with an engine and keep beside this module."""
    folder = files("eureka.evaluation") / "assets"
    table = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    chosen = table["sentences"][int(draw.integers(len(table["sentences"])))]
    pcm = decode_all((folder / chosen["file"]).read_bytes(), DecodeLimits())
    return _Spoken(pcm, chosen["text"], f"{table['voice']} (rendered before; no speech engine here)")


def _draw_sounds(draw: np.random.Generator, data_folder: Path | None) -> tuple[list[tuple[str, Pcm]], str]:
    """Two sounds of different labels, `MAX_SOUND_SECONDS` long at most, and where they come from."""
    try:
        rows = [] if data_folder is None else _sound_rows(data_folder)
    except NotFoundError:
        rows = []
    if rows:
        labels = draw.permutation(sorted({row.label or "" for row in rows}))[:2]
        chosen = [[row for row in rows if row.label == label] for label in labels]
        picked = [some[int(draw.integers(len(some)))] for some in chosen]
        assert data_folder is not None  # rows come from it
        return [(_spoken_label(row), _cut_sound(data_folder, row)) for row in picked], "recordings (dev)"
    labels = draw.permutation(DEMO_SOUNDS)[:2]
    seed = int(draw.integers(2**31))
    return [(str(label), render_sound(str(label), MAX_SOUND_SECONDS, seed)) for label in labels], "computed"


def _sound_rows(data_folder: Path) -> list[ManifestClip]:
    """Dev sounds that sound for long enough in one piece."""
    return [
        row
        for row in read_manifest(data_folder, "dev")
        if row.subset == "esc10" and any(end - start >= MIN_SOUND_SECONDS for start, end in row.active)
    ]


def _spoken_label(row: ManifestClip) -> str:
    return (row.label or "").replace("_", " ")


def _cut_sound(data_folder: Path, row: ManifestClip) -> Pcm:
    """The longest active part, from its start, at most `MAX_SOUND_SECONDS`."""
    pcm = decode_all(data_folder / row.path, DecodeLimits())
    start, end = max(row.active, key=lambda part: part[1] - part[0])
    stop = min(end, start + MAX_SOUND_SECONDS)
    return pcm[int(start * SAMPLE_RATE_HZ) : int(stop * SAMPLE_RATE_HZ)]
