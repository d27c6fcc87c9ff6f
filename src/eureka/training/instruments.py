"""Clips of single instruments, rendered by fluidsynth from the General MIDI sound font of Debian.

A seeded melody is written as a Standard MIDI File, rendered in one go for each instrument and cut into
clips. The sound font is FluidR3 (Frank Wen, MIT licence, package fluid-soundfont-gm).
Run it as `python -m eureka.training.instruments OUT_FOLDER`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.audio.decode import decode_all
from eureka.audio.log_mel import raw_log_mel
from eureka.errors import NotFoundError, StageUnavailableError
from eureka.training.activity import active_parts
from eureka.training.feature_pack import FeaturePackWriter
from eureka.types import SAMPLE_RATE_HZ, Pcm

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
"""Where Debian's package fluid-soundfont-gm puts it."""

TICKS_PER_BEAT = 480
TICKS_PER_SECOND = 960
"""At the 120 beats a minute that a MIDI file without a tempo has."""

MELODY_SECONDS = (1.5, 4.5)
SLOT_SECONDS = 7.0
"""From the start of one clip to the next: the longest melody and the time to fade away."""

RENDER_TIMEOUT_SECONDS = 120.0
CLIPS_PER_INSTRUMENT = 12
_MAJOR_STEPS = (0, 2, 4, 5, 7, 9, 11)


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument of the sound font.

    Attributes:
        label: label of its clips.
        programs: General MIDI programs (0 is the first) that sound like it.
        lowest, highest: range of MIDI notes.
        plays_chords: whether it may play several notes at once.
    """

    label: str
    programs: tuple[int, ...]
    lowest: int
    highest: int
    plays_chords: bool = False


INSTRUMENTS = (
    Instrument("piano", (0, 1), 36, 90, plays_chords=True),
    Instrument("organ", (16, 19), 36, 84, plays_chords=True),
    Instrument("accordion", (21,), 53, 84, plays_chords=True),
    Instrument("acoustic_guitar", (24, 25), 40, 76, plays_chords=True),
    Instrument("violin", (40,), 55, 93),
    Instrument("cello", (42,), 36, 69),
    Instrument("trumpet", (56,), 54, 82),
    Instrument("saxophone", (64, 65, 66), 46, 80),
    Instrument("clarinet", (71,), 50, 88),
    Instrument("flute", (73,), 60, 95),
    Instrument("harp", (46,), 40, 90, plays_chords=True),
    Instrument("xylophone", (13,), 65, 100),
)
"""Ten classes that the recordings lack, and two that they hold once."""


def render_clips(
    instrument: Instrument, count: int, rng: np.random.Generator, sound_font: Path = SOUND_FONT
) -> list[Pcm]:
    """`count` melodies of an instrument, each (S,) float32 at 16 kHz, trimmed to what is heard.

    Raises:
        NotFoundError: fluidsynth or the sound font is not installed.
        StageUnavailableError: fluidsynth failed or took too long.
    """
    events = [
        event
        for number in range(count)
        for event in _melody(instrument, round(number * SLOT_SECONDS * TICKS_PER_SECOND), rng)
    ]
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "melody.mid", Path(folder) / "melody.wav"
        midi.write_bytes(midi_file(events))
        _run_fluidsynth(midi, wav, sound_font)
        pcm = decode_all(wav)
    slot = round(SLOT_SECONDS * SAMPLE_RATE_HZ)
    return [_trim(pcm[number * slot : (number + 1) * slot]) for number in range(count)]


def build_instrument_pack(
    folder: Path,
    clips_per_instrument: int = CLIPS_PER_INSTRUMENT,
    seed: int = 0,
    num_mel_bins: int = 80,
    instruments: Sequence[Instrument] = INSTRUMENTS,
) -> int:
    """Write a feature pack of instruments, split train; returns the number of clips.

    A pack that a killed run left is gone on with.
    """
    with FeaturePackWriter(folder, num_mel_bins) as writer:
        for number, instrument in enumerate(instruments):
            written = writer.num_clips - number * clips_per_instrument
            if written >= clips_per_instrument:
                continue
            clips = render_clips(instrument, clips_per_instrument, np.random.default_rng((seed, number)))
            for index in range(max(0, written), clips_per_instrument):
                name = f"instruments/{instrument.label}/{index}"
                parts = [list(part) for part in active_parts(raw_log_mel(clips[index], num_mel_bins).T)]
                given = {"kind": "instruments", "split": "train", "label": instrument.label}
                writer.add(clips[index], {"id": name, **given, "active": parts})
        return writer.num_clips


@dataclass(frozen=True, slots=True)
class MidiEvent:
    """A message of a MIDI track at a time in ticks from the start."""

    tick: int
    message: bytes


def midi_file(events: list[MidiEvent]) -> bytes:
    """A Standard MIDI File of format 0 with these events.

    Source: Standard MIDI Files 1.0, chunks MThd and MTrk.
    """
    track = bytearray()
    now = 0
    # At one tick notes end (0x8n) before others begin (0x9n).
    for event in sorted(events, key=lambda event: (event.tick, event.message[0] & 0xF0 == 0x90)):
        track += _variable_length(event.tick - now) + event.message
        now = event.tick
    track += b"\x00\xff\x2f\x00"  # end of track
    header = b"MThd" + (6).to_bytes(4, "big") + b"\x00\x00\x00\x01" + TICKS_PER_BEAT.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + bytes(track)


def _variable_length(value: int) -> bytes:
    """Seven bits a byte, high bits first, all but the last byte marked."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append((value & 0x7F) | 0x80)
    return bytes(reversed(digits))


def _melody(instrument: Instrument, start: int, rng: np.random.Generator) -> list[MidiEvent]:
    """A walk on a drawn major scale from tick `start`."""
    program = instrument.programs[int(rng.integers(len(instrument.programs)))]
    events = [MidiEvent(start, bytes((0xC0, program)))]
    key = int(rng.integers(12))
    scale = [n for n in range(instrument.lowest, instrument.highest + 1) if (n - key) % 12 in _MAJOR_STEPS]
    place = int(rng.integers(len(scale)))
    tick, end = start, start + round(rng.uniform(*MELODY_SECONDS) * TICKS_PER_SECOND)
    pace = rng.uniform(0.15, 0.7) * TICKS_PER_SECOND
    loudness = int(rng.integers(60, 115))
    while tick < end:
        length = max(60, round(pace * rng.choice((0.5, 1.0, 1.0, 2.0))))
        chord = (0, 2, 4) if instrument.plays_chords and rng.random() < 0.35 else (0,)
        for step in chord:
            note = scale[min(place + step, len(scale) - 1)]
            velocity = int(np.clip(loudness + rng.integers(-12, 13), 30, 127))
            events.append(MidiEvent(tick, bytes((0x90, note, velocity))))
            events.append(MidiEvent(tick + length, bytes((0x80, note, 0))))
        tick += length
        place = int(np.clip(place + rng.integers(-3, 4), 0, len(scale) - 1))
    return events


def _run_fluidsynth(midi: Path, wav: Path, sound_font: Path) -> None:
    if not sound_font.is_file():
        raise NotFoundError(f"no sound font at {sound_font}; install fluid-soundfont-gm")
    # No reverb and chorus of its own: rooms are drawn by augmentation.
    command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.6"]
    command += ["-r", str(SAMPLE_RATE_HZ), "-T", "wav", "-F", str(wav), str(sound_font), str(midi)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=RENDER_TIMEOUT_SECONDS)
    except FileNotFoundError as error:
        raise NotFoundError("fluidsynth is not installed") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise StageUnavailableError(f"fluidsynth did not render {midi.name}: {error}") from error


def _trim(pcm: Pcm) -> Pcm:
    parts = active_parts(raw_log_mel(pcm, 80).T)
    return pcm[: round(parts[-1][1] * SAMPLE_RATE_HZ)] if parts else pcm


def main(arguments: list[str] | None = None) -> None:
    """Build the pack of instruments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_folder", type=Path)
    parser.add_argument("--clips", type=int, default=CLIPS_PER_INSTRUMENT, help="clips an instrument")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    print(f"instruments: {build_instrument_pack(chosen.out_folder, chosen.clips, chosen.seed)} clips")


if __name__ == "__main__":
    main()
