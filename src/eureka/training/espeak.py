"""espeak-ng through its C library: speech with the times of its phones, and pronunciations.

The library keeps one global state in a process: all `Espeak` objects share it, they must be used from one
thread, and every call sets what it needs. Some of that state (phases of the wave generator) cannot be
set, so what is spoken depends by a sample or two on what was spoken before. Who needs the same samples
every time speaks in a fresh process.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np

from eureka.errors import NotFoundError
from eureka.training.phones import phones_of_espeak
from eureka.types import Pcm

LIBRARY_NAME = "libespeak-ng.so.1"

_OUTPUT_RETRIEVAL = 1
_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 1
_INITIALIZE_PHONEME_IPA = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_POSITION_CHARACTER = 1
_EVENT_END = 0
_EVENT_WORD = 1
_EVENT_PHONEME = 7
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_RANGE = 4


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class EspeakPhone:
    """One phoneme event: IPA and its start; `word_start_seconds` is set on the first phone of a word."""

    ipa: str
    start_seconds: float
    word_start_seconds: float | None


@dataclass(frozen=True, slots=True)
class EspeakSpeech:
    """What the engine gave: pcm float32 (S,) at `sample_rate_hz` and its phone events."""

    pcm: Pcm
    sample_rate_hz: int
    phones: tuple[EspeakPhone, ...]


@dataclass(slots=True)
class _Library:
    """The initialised library, and whether it pronounced since it last spoke."""

    calls: ctypes.CDLL
    sample_rate_hz: int
    has_pronounced: bool = False

    def speak_into_the_void(self) -> None:
        """One word that nobody hears: the first speech after many pronunciations loses its first event."""
        ignore = _CALLBACK(lambda block, size, events: 0)
        self.calls.espeak_SetSynthCallback(ignore)
        self.calls.espeak_Synth(b"a", 2, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        self.calls.espeak_Synchronize()
        self.has_pronounced = False


@cache
def _process_library() -> _Library:
    """The library of this process, initialised once: each initialisation would start threads of its own."""
    try:
        calls = ctypes.CDLL(LIBRARY_NAME)
    except OSError as exc:
        raise NotFoundError(f"{LIBRARY_NAME} is not installed (Debian package espeak-ng)") from exc
    options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA | _INITIALIZE_DONT_EXIT
    sample_rate_hz = calls.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, None, options)
    if sample_rate_hz <= 0:
        raise NotFoundError("espeak-ng finds no data folder (Debian package espeak-ng-data)")
    calls.espeak_TextToPhonemes.restype = ctypes.c_char_p
    return _Library(calls, sample_rate_hz)


class Espeak:
    """Speech and pronunciations by the library of this process.

    Raises:
        NotFoundError: the library is not installed.
    """

    def __init__(self) -> None:
        self._library = _process_library()
        self._blocks: list[bytes] = []
        self._phones: list[EspeakPhone] = []
        self._word_start: float | None = None
        self._callback = _CALLBACK(self._take)  # kept: the library holds only the address

    def speak(self, text: str, voice: str, *, rate: int, pitch: int, pitch_range: int = 50) -> EspeakSpeech:
        """Speak `text`.

        Args:
            text: may hold punctuation, which shapes the melody and the pauses.
            voice: accent with an optional variant, `en-us+f3`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 100.
            pitch_range: 0 (monotone) to 100.

        Raises:
            NotFoundError: no such voice.
        """
        calls, encoded = self._library.calls, text.encode()
        self._set_voice(voice)
        for parameter, value in (
            (_PARAMETER_RATE, rate), (_PARAMETER_PITCH, pitch), (_PARAMETER_RANGE, pitch_range)
        ):  # fmt: skip
            calls.espeak_SetParameter(parameter, value, 0)
        if self._library.has_pronounced:
            self._library.speak_into_the_void()
        self._blocks, self._phones, self._word_start = [], [], None
        calls.espeak_SetSynthCallback(self._callback)
        calls.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        calls.espeak_Synchronize()
        pcm = np.frombuffer(b"".join(self._blocks), dtype=np.int16).astype(np.float32) / 32768
        return EspeakSpeech(pcm, self._library.sample_rate_hz, tuple(self._phones))

    def phones_of(self, text: str, voice: str = "en-us") -> tuple[int, ...]:
        """Phone ids of `text` as the dictionary and the rules of `voice` pronounce it."""
        self._set_voice(voice)
        self._library.has_pronounced = True
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        ids: list[int] = []
        while rest.value:
            ipa = self._library.calls.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA)
            ids.extend(phones_of_espeak((ipa or b"").decode()))
        return tuple(ids)

    def _set_voice(self, voice: str) -> None:
        # The British voice is a file named `en`; `en-gb` itself takes no variant.
        name = "en" + voice.removeprefix("en-gb") if voice.split("+")[0] == "en-gb" else voice
        if self._library.calls.espeak_SetVoiceByName(name.encode()) != 0:
            raise NotFoundError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices=variant` lists them")

    def _take(
        self, block: ctypes._Pointer[ctypes.c_short], size: int, events: ctypes._Pointer[_Event]
    ) -> int:
        """Called by the library with each block of samples and the events in it."""
        if size:
            self._blocks.append(ctypes.string_at(block, 2 * size))
        at = 0
        while events[at].type != _EVENT_END:
            event = events[at]
            if event.type == _EVENT_WORD:
                self._word_start = event.audio_position / 1000
            elif event.type == _EVENT_PHONEME:
                ipa = bytes(event.id.string).decode(errors="replace")
                self._phones.append(EspeakPhone(ipa, event.audio_position / 1000, self._word_start))
                self._word_start = None
            at += 1
        return 0
