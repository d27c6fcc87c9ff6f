"""What a run works on: train clips and composed scenes, each with its audio and its own record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Protocol

import numpy as np

from eureka.dataflux.records import Caption
from eureka.types import SAMPLE_RATE_HZ, Pcm

FLAC, OPUS = ".flac", ".opus"


@dataclass(frozen=True)
class Item:
    """One audio of a run.

    Attributes:
        number: place in the run, from 0.
        kind: `clip` or `scene`.
        audio_id: sha256 of its samples as 16-bit integers, hex.
        record: what is known of it, by manifest or by the plan of the scene.
        parts: paths of the clips that are heard in it.
        source: license, source and author of each part, for the dataset card.
        load: gives the samples.
    """

    number: int
    kind: str
    audio_id: str
    record: Caption
    parts: tuple[str, ...]
    source: tuple[str, ...]
    load: Callable[[], Pcm]

    @cached_property
    def pcm(self) -> Pcm:
        """Samples (S,) float32 at 16 kHz; decoded or rendered at first use."""
        return self.load()

    @property
    def seconds(self) -> float:
        """Length."""
        return self.record.seconds

    def flac(self) -> bytes:
        """The audio as FLAC of 16 bits: the same bytes for the same samples."""
        import soundfile  # only where audio is written

        buffer = BytesIO()
        soundfile.write(buffer, pcm16(self.pcm), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        return buffer.getvalue()

    def to_plain(self) -> dict[str, Any]:
        """All but the audio, as plain JSON."""
        return {
            "number": self.number,
            "kind": self.kind,
            "audio_id": self.audio_id,
            "record": self.record.to_plain(),
            "parts": list(self.parts),
            "source": list(self.source),
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any], load: Callable[[], Pcm]) -> Item:
        """Read the plain object."""
        return cls(
            plain["number"],
            plain["kind"],
            plain["audio_id"],
            Caption.of_plain(plain["record"]),
            tuple(plain["parts"]),
            tuple(plain["source"]),
            load,
        )


class ItemSource(Protocol):
    """Gives items by number, the same ones every time."""

    @property
    def identity(self) -> Any:
        """All that the items depend on, as plain JSON."""
        ...

    def __len__(self) -> int: ...

    def open(self, number: int) -> Item:
        """Item `number`, its audio loaded."""
        ...

    def load(self, number: int) -> Pcm:
        """The audio of item `number`."""
        ...


def pcm16(pcm: Pcm) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Samples as 16-bit integers."""
    return np.asarray(np.clip(np.rint(pcm * 32767.0), -32768, 32767), dtype=np.int16)


def audio_digest(pcm: Pcm) -> str:
    """Name of an audio by its samples."""
    return hashlib.sha256(pcm16(pcm).astype("<i2").tobytes()).hexdigest()
