from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from eureka.errors import NotFoundError
from eureka.training.feature_pack import FeaturePack
from eureka.training.instruments import (
    INSTRUMENTS,
    SOUND_FONT,
    Instrument,
    MidiEvent,
    build_instrument_pack,
    midi_file,
    render_clips,
)
from eureka.training.sound_labels import SOUND_LABELS

needs_fluidsynth = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not SOUND_FONT.is_file(),
    reason="fluidsynth or its sound font is not installed",
)


def test_instruments_have_labels_that_are_music() -> None:
    assert all(SOUND_LABELS[instrument.label].is_music for instrument in INSTRUMENTS)


def test_midi_file_of_one_note_is_byte_exact() -> None:
    events = [MidiEvent(1000, b"\x80\x3c\x00"), MidiEvent(0, b"\x90\x3c\x64")]
    track = b"\x00\x90\x3c\x64" + b"\x87\x68\x80\x3c\x00" + b"\x00\xff\x2f\x00"
    assert midi_file(events) == b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk\x00\x00\x00\x0d" + track


def test_midi_file_ends_a_note_before_it_begins_again() -> None:
    events = [MidiEvent(5, b"\x90\x3c\x64"), MidiEvent(5, b"\x80\x3c\x00")]
    assert midi_file(events).index(b"\x80\x3c") < midi_file(events).index(b"\x90\x3c")


def test_render_clips_without_a_sound_font_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="sound font"):
        render_clips(INSTRUMENTS[0], 1, np.random.default_rng(0), tmp_path / "none.sf2")


@needs_fluidsynth
def test_render_clips_gives_melodies_of_the_asked_notes() -> None:
    tuning_fork = Instrument("flute", (73,), 69, 69)  # A4 alone
    clips = render_clips(tuning_fork, 2, np.random.default_rng(3))
    for pcm in clips:
        assert 0.3 < len(pcm) / 16_000 <= 7.0
        spectrum = np.abs(np.fft.rfft(pcm))
        peak_hz = spectrum.argmax() * 16_000 / len(pcm)
        assert min(abs(peak_hz - 440 * harmonic) for harmonic in (1, 2, 3)) < 12
    assert not np.array_equal(clips[0][:8000], clips[1][:8000])


@needs_fluidsynth
def test_instrument_pack_finished_is_left_as_it_is(tmp_path: Path) -> None:
    assert build_instrument_pack(tmp_path, 2, instruments=INSTRUMENTS[:1]) == 2
    clips = FeaturePack(tmp_path).clips
    assert [clip.label for clip in clips] == ["piano", "piano"] and clips[0].active
    assert build_instrument_pack(tmp_path, 2, instruments=INSTRUMENTS[:1]) == 2
    assert [clip.id for clip in FeaturePack(tmp_path).clips] == [clip.id for clip in clips]
