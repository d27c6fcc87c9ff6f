"""Synthetic speech with the times of its phones, by two engines of Debian: espeak-ng and flite.

Which voices are for tests only is fixed here by name, before anything is spoken: no training clip may
use them.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from bisect import bisect_left
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eureka.errors import NotFoundError
from eureka.training.espeak import Espeak, EspeakSpeech
from eureka.training.phones import VOICELESS_STOPS, phones_of_espeak, phones_of_flite
from eureka.types import SAMPLE_RATE_HZ, Pcm

ESPEAK_ACCENTS = (
    "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us-nyc", "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)  # fmt: skip
"""Accents of espeak-ng's English."""

_FEMALE_VARIANTS = (
    "f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "linda",
    "steph", "steph2", "steph3", "shelby", "grandma",
)  # fmt: skip
_MALE_VARIANTS = (
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Alex", "Andy", "Denis", "Diogo", "Gene", "Henrique",
    "Hugo", "Lee", "Marco", "Mario", "Michael", "Mike", "adam", "antonio", "benjamin", "boris", "caleb",
    "david", "ed", "edward", "grandpa", "john", "max", "michel", "miguel", "norbert", "pablo", "paul",
    "quincy", "rob", "robert", "sandro", "travis", "victor", "zac",
)  # fmt: skip
_UNGENDERED_VARIANTS = ("klatt", "klatt2", "klatt3", "klatt4", "klatt6", "marcelo")

TEST_ESPEAK_VARIANTS = ("m5", "f4", "belinda", "michel", "paul", "shelby")
"""Variants spoken only in tests."""

DEMO_ESPEAK_VARIANTS = ("m2", "f2")
"""Variants spoken only by the demo."""

DEMO_VOICES = ("en-us+m2", "en-us+f2")
"""The demo's voices; like the test voices, never trained on."""

FLITE_VOICES = ("awb", "kal", "kal16", "rms", "slt")
TEST_FLITE_VOICES = ("slt",)

_UNHEARD_VARIANTS = TEST_ESPEAK_VARIANTS + DEMO_ESPEAK_VARIANTS
TRAIN_ESPEAK_VARIANTS = tuple(
    variant
    for variant in _MALE_VARIANTS + _FEMALE_VARIANTS + _UNGENDERED_VARIANTS
    if variant not in _UNHEARD_VARIANTS
)
TRAIN_FLITE_VOICES = tuple(voice for voice in FLITE_VOICES if voice not in TEST_FLITE_VOICES)

_FLITE_SHARE = 0.2
_SPEED_RANGE = (0.85, 1.18)
"""Playing faster or slower moves pitch and formants together: another throat."""

_CLOSURE_SECONDS = 0.045
"""Silence before the burst of p, t, k, ch inside a word: espeak-ng reports the burst."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a text is to be spoken.

    `rate` is words a minute, `pitch` 0 to 100 (espeak-ng's scales; flite's are derived), `speed` plays the
    result that much faster.
    """

    engine: str
    name: str
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50
    speed: float = 1.0

    @property
    def gender(self) -> str | None:
        """f or m where the voice says so."""
        if self.engine == "flite":
            return "f" if self.name == "slt" else "m"
        variant = self.name.partition("+")[2]
        if variant in _UNGENDERED_VARIANTS:
            return None
        return "f" if variant in _FEMALE_VARIANTS else "m"

    def to_dict(self) -> dict[str, Any]:
        """Plain fields for a clip's metadata."""
        return {
            "voice": self.name,
            "engine": self.engine,
            "rate": self.rate,
            "pitch": self.pitch,
            "speed": round(self.speed, 3),
            **({"gender": self.gender} if self.gender else {}),
        }


@dataclass(frozen=True, slots=True)
class PhoneSpan:
    """One phone with its times in seconds."""

    phone: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech at 16 kHz: pcm float32 (S,), its phones in order, and the voice as it came out."""

    pcm: Pcm
    phones: tuple[PhoneSpan, ...]
    voice: Voice

    def phone_frames(self) -> list[list[int]]:
        """[phone id, first frame, frame after the last] at 100 frames/s; silence is left out."""
        rows = [[p.phone, round(p.start_seconds * 100), round(p.end_seconds * 100)] for p in self.phones]
        return [row for row in rows if row[2] > row[1]]


class Synthesizer:
    """Speaks texts with either engine."""

    def __init__(self) -> None:
        self._espeak = Espeak()

    def speak(self, text: str, voice: Voice) -> Speech:
        """Speak `text` as the engine gives it, resampled to 16 kHz.

        Raises:
            NotFoundError: the engine or the voice is not there, or nothing was said.
        """
        if voice.engine == "flite":
            pcm, sample_rate_hz, phones = _speak_flite(text, voice)
        else:
            speech = self._espeak.speak(
                text, voice.name, rate=voice.rate, pitch=voice.pitch, pitch_range=voice.pitch_range
            )
            pcm, sample_rate_hz, phones = speech.pcm, speech.sample_rate_hz, _spans_of_espeak(speech)
        if not phones:
            raise NotFoundError(f"{voice.name} said nothing for {text!r}")
        resampled, speed = change_speed(pcm, sample_rate_hz, voice.speed)
        spans = tuple(PhoneSpan(p.phone, p.start_seconds / speed, p.end_seconds / speed) for p in phones)
        return Speech(resampled, spans, replace(voice, speed=speed))


def _spans_of_espeak(speech: EspeakSpeech) -> list[PhoneSpan]:
    """Phone spans of events that know only their start."""
    events = speech.phones
    ids = [phones_of_espeak(event.ipa) for event in events]
    starts = [event.start_seconds for event in events]
    for at in range(1, len(events)):
        if ids[at] and ids[at][0] in VOICELESS_STOPS:
            starts[at] = _closure_start(starts[at - 1], starts[at], events[at].word_start_seconds)
    starts.append(len(speech.pcm) / speech.sample_rate_hz)
    spans: list[PhoneSpan] = []
    for at, phones in enumerate(ids):
        spans.extend(_divide(phones, starts[at], starts[at + 1]))
    return spans


def _closure_start(previous: float, burst: float, word_start: float | None) -> float:
    """Where a voiceless stop's closure begins: at its word, or a little before the burst."""
    if word_start is not None and previous < word_start < burst:
        return word_start
    return burst - min(_CLOSURE_SECONDS, 0.4 * (burst - previous))


def _divide(phones: tuple[int, ...], start: float, end: float) -> list[PhoneSpan]:
    """Equal shares of one event for the phones it stands for (`eə` is two)."""
    edges = np.linspace(start, end, len(phones) + 1)
    return [PhoneSpan(p, float(edges[i]), float(edges[i + 1])) for i, p in enumerate(phones)]


def _speak_flite(text: str, voice: Voice) -> tuple[Pcm, int, list[PhoneSpan]]:
    """flite's speech: pcm, its rate, and spans from the `name:end` pairs it prints."""
    with tempfile.TemporaryDirectory(prefix="eureka-flite-") as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice.name, "-psdur", "-o", str(path), "-t", text]
        command += ["--setf", f"duration_stretch={160 / voice.rate:.3f}"]
        command += ["--setf", f"int_f0_target_mean={_flite_hz(voice):.1f}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except FileNotFoundError as exc:
            raise NotFoundError("flite is not installed (Debian package flite)") from exc
        if done.returncode != 0 or not path.is_file():
            raise NotFoundError(f"flite could not speak with {voice.name!r}: {done.stderr.strip()[:200]}")
        with wave.open(str(path)) as reader:
            sample_rate_hz = reader.getframerate()
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), dtype=np.int16)
    spans: list[PhoneSpan] = []
    start = 0.0
    for pair in done.stdout.split():
        name, _, end = pair.rpartition(":")
        spans.extend(_divide(phones_of_flite(name), start, float(end)))
        start = float(end)
    return pcm.astype(np.float32) / 32768, sample_rate_hz, spans


def _flite_hz(voice: Voice) -> float:
    """Mean pitch for flite: 50 is a man's 105 Hz (a woman's 180), a step of 50 an interval of 1.4."""
    middle = 180.0 if voice.gender == "f" else 105.0
    return float(middle * 1.4 ** ((voice.pitch - 50) / 50))


def _smooth_sizes(limit: int) -> list[int]:
    """All numbers 2^a 3^b 5^c up to `limit`: sizes that the FFT likes."""
    sizes = [1]
    for prime in (2, 3, 5):
        for size in list(sizes):
            while size * prime <= limit:
                size *= prime
                sizes.append(size)
    return sorted(sizes)


_SMOOTH_SIZES = _smooth_sizes(4_000_000)
_SIZES_TRIED = 8


def change_speed(pcm: Pcm, sample_rate_hz: int, speed: float) -> tuple[Pcm, float]:
    """Resample to 16 kHz and play `speed` times faster, in one go, by cutting or filling the spectrum.

    Returns:
        pcm float32 at 16 kHz and the speed that came out, within 1 % of the wish and exact for a wish
        of 1: both transforms have sizes of small primes only, which makes them fast.
    """
    size_in, size_out = _transform_sizes(len(pcm), sample_rate_hz, speed)
    ratio = size_out / size_in
    spectrum = np.fft.rfft(pcm, size_in)
    resampled = np.fft.irfft(spectrum[: size_out // 2 + 1], size_out) * ratio
    return resampled[: round(len(pcm) * ratio)].astype(np.float32), SAMPLE_RATE_HZ / (sample_rate_hz * ratio)


def _transform_sizes(num_samples: int, sample_rate_hz: int, speed: float) -> tuple[int, int]:
    """Sizes before and after whose ratio is the wished one, as near as sizes of small primes come."""
    if speed == 1.0:
        common = int(np.gcd(sample_rate_hz, SAMPLE_RATE_HZ))
        blocks = num_samples * common // sample_rate_hz + 1
        return blocks * sample_rate_hz // common, blocks * SAMPLE_RATE_HZ // common
    ratio = SAMPLE_RATE_HZ / (sample_rate_hz * speed)
    at = bisect_left(_SMOOTH_SIZES, num_samples + 1)
    pairs = [(size, _nearest_smooth(size * ratio)) for size in _SMOOTH_SIZES[at : at + _SIZES_TRIED]]
    return min(pairs, key=lambda pair: abs(pair[1] / pair[0] / ratio - 1))


def _nearest_smooth(size: float) -> int:
    at = bisect_left(_SMOOTH_SIZES, size)
    return min(_SMOOTH_SIZES[max(0, at - 1) : at + 1], key=lambda smooth: abs(smooth - size))


def random_train_voice(rng: np.random.Generator) -> Voice:
    """A voice for training: four fifths espeak-ng, one fifth flite, never one of the test voices."""
    if rng.random() < _FLITE_SHARE:
        return _random_voice(rng, "flite", str(rng.choice(TRAIN_FLITE_VOICES)))
    # American first: it is the accent of the lexicon and of most real clips.
    accent = "en-us" if rng.random() < 0.3 else str(rng.choice(ESPEAK_ACCENTS))
    variant = str(rng.choice(TRAIN_ESPEAK_VARIANTS))
    return _random_voice(rng, "espeak", f"{accent}+{variant}" if variant else accent)


def random_test_voice(rng: np.random.Generator) -> Voice:
    """A voice that no training clip has: unheard variants of espeak-ng, or flite's slt."""
    if rng.random() < _FLITE_SHARE:
        return _random_voice(rng, "flite", str(rng.choice(TEST_FLITE_VOICES)))
    accent, variant = str(rng.choice(ESPEAK_ACCENTS)), str(rng.choice(TEST_ESPEAK_VARIANTS))
    return _random_voice(rng, "espeak", f"{accent}+{variant}")


def _random_voice(rng: np.random.Generator, engine: str, name: str) -> Voice:
    return Voice(
        engine,
        name,
        rate=int(rng.integers(110, 211)),
        pitch=int(rng.integers(20, 81)),
        pitch_range=int(rng.integers(20, 81)),
        speed=float(rng.uniform(*_SPEED_RANGE)),
    )


def trim_and_level(speech: Speech, rng: np.random.Generator) -> Speech:
    """Leave 0.1 to 0.3 s of silence at either end and set a loudness like that of recordings.

    The root mean square is drawn around -25 dBFS, 4.5 dB wide (real clips of the training set: -36 to
    -17 dBFS from the 5th to the 95th percentile); the peak stays under 0.95.
    """
    before, after = rng.uniform(0.1, 0.3, 2)
    first, last = speech.phones[0].start_seconds, speech.phones[-1].end_seconds
    start = round((first - before) * SAMPLE_RATE_HZ)
    end = round((last + after) * SAMPLE_RATE_HZ)
    pcm = np.zeros(end - start, dtype=np.float32)
    source = speech.pcm[max(0, start) : end]
    offset = max(0, -start)
    pcm[offset : offset + len(source)] = source
    level = 10 ** (np.clip(rng.normal(-25.0, 4.5), -38, -14) / 20)
    gain = min(level / (float(np.sqrt(np.mean(pcm**2))) + 1e-9), 0.95 / (float(np.abs(pcm).max()) + 1e-9))
    shift = start / SAMPLE_RATE_HZ
    spans = tuple(PhoneSpan(p.phone, p.start_seconds - shift, p.end_seconds - shift) for p in speech.phones)
    return Speech((pcm * gain).astype(np.float32), spans, speech.voice)
