"""Feature packs: the log-mels and the labels of many clips in one folder.

A pack is two files. `mels.npy` holds the frames of all clips one after the other, float16
(total_frames, M), log10 power as `raw_log_mel` gives it, neither floored nor scaled: the reader maps it
into memory. `clips.jsonl` has one object a clip, in the same order. Normalising and augmenting belong to
whoever reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from eureka.audio.log_mel import pad_to_token, raw_log_mel
from eureka.errors import InvalidInputError, NotFoundError
from eureka.types import Pcm

MELS_NAME = "mels.npy"
CLIPS_NAME = "clips.jsonl"

_HEADER_BYTES = 128
"""Room kept for the npy header: the number of frames is known only at the end."""

_KNOWN = ("id", "kind", "split", "first_frame", "num_frames", "text", "phones", "label", "active", "slots")


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a pack.

    `phones` is int32 (P, 3): phone id, first frame, frame after the last, at 100 frames/s; frames that no
    row covers are silence. None means that nobody knows. `active` are the sounding parts in seconds.
    `about` holds what else the maker wrote: speaker, voice, engine, gender, age, rate, pitch.
    """

    id: str
    kind: str
    split: str
    first_frame: int
    num_frames: int
    text: str | None = None
    phones: NDArray[np.int32] | None = None
    label: str | None = None
    active: tuple[tuple[float, float], ...] | None = None
    slots: dict[str, str] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length, padding included."""
        return self.num_frames / 100


class FeaturePackWriter:
    """Appends clips to a pack; `close` makes it readable by `numpy.load`.

    Args:
        folder: made when absent. A pack that a killed writer left there is gone on with: clips whose
            frames did not all reach the disk are dropped.
        num_mel_bins: M.
    """

    def __init__(self, folder: Path | str, num_mel_bins: int = 80) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._num_mel_bins = num_mel_bins
        self._clips: TextIO
        self._mels: BinaryIO
        self.num_clips, self.num_frames = self._open()

    def _open(self) -> tuple[int, int]:
        mels_path, clips_path = self._folder / MELS_NAME, self._folder / CLIPS_NAME
        mels_path.touch()
        clips_path.touch()
        on_disk = (mels_path.stat().st_size - _HEADER_BYTES) // (2 * self._num_mel_bins)
        kept, frames = _whole_lines(clips_path, on_disk)
        self._clips = clips_path.open("r+", encoding="utf-8")
        self._clips.truncate(sum(len(line) for line in kept))
        self._clips.seek(0, 2)
        self._mels = mels_path.open("r+b")
        self._mels.truncate(_HEADER_BYTES + frames * 2 * self._num_mel_bins)
        self._mels.seek(0, 2)
        return len(kept), frames

    def add(self, pcm: Pcm, meta: dict[str, Any]) -> None:
        """Append one clip.

        Args:
            pcm: float32 (S,), 16 kHz; padded here to whole audio tokens, 8 frames each.
            meta: the clip's fields except first_frame and num_frames; needs id, kind and split.
        """
        self.add_mel(raw_log_mel(pad_to_token(pcm), self._num_mel_bins), meta)

    def add_mel(self, mel: NDArray[np.float32], meta: dict[str, Any]) -> None:
        """Append one clip by its raw log-mel (M, F), F a multiple of 8."""
        if mel.shape[0] != self._num_mel_bins or mel.shape[1] % 8:
            raise InvalidInputError(f"log-mel {mel.shape}: {self._num_mel_bins} bins, frames by 8 are needed")
        line = dict(meta) | {"first_frame": self.num_frames, "num_frames": mel.shape[1]}
        self._mels.write(np.ascontiguousarray(mel.T.astype(np.float16)).tobytes())  # (F, M)
        self._clips.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.num_frames += mel.shape[1]
        self.num_clips += 1

    def flush(self) -> None:
        """Hand everything to the system, frames first, so that no line stands without them."""
        self._mels.flush()
        self._clips.flush()

    def close(self) -> None:
        """Write the header and close both files."""
        self.flush()
        self._mels.seek(0)
        self._mels.write(_npy_header((self.num_frames, self._num_mel_bins)))
        self._mels.close()
        self._clips.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _whole_lines(clips_path: Path, frames_on_disk: int) -> tuple[list[str], int]:
    """The lines whose frames are all there, and the number of those frames."""
    kept: list[str] = []
    frames = 0
    for line in clips_path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        clip = json.loads(line)
        if clip["first_frame"] + clip["num_frames"] > frames_on_disk:
            break
        kept.append(line)
        frames = clip["first_frame"] + clip["num_frames"]
    return kept, frames


def _npy_header(shape: tuple[int, int]) -> bytes:
    """A version 1.0 npy header of exactly `_HEADER_BYTES`."""
    text = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
    room = _HEADER_BYTES - 10  # magic (6), version (2), length (2)
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"


class FeaturePack:
    """Reads a pack; frames stay on disk until they are asked for.

    Raises:
        NotFoundError: the folder holds no finished pack.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        mels_path = self.folder / MELS_NAME
        if not mels_path.is_file():
            raise NotFoundError(f"{self.folder} holds no {MELS_NAME}: make the feature pack first")
        self.mels: NDArray[np.float16] = np.load(mels_path, mmap_mode="r")
        """All frames, (total_frames, M)."""
        with (self.folder / CLIPS_NAME).open(encoding="utf-8") as lines:
            self.clips = [_clip_of(json.loads(line)) for line in lines]

    def __len__(self) -> int:
        return len(self.clips)

    def mel(self, index: int) -> NDArray[np.float16]:
        """The frames of one clip, (F, M) float16, a view into the mapped file."""
        clip = self.clips[index]
        return self.mels[clip.first_frame : clip.first_frame + clip.num_frames]


def _clip_of(line: dict[str, Any]) -> Clip:
    phones, active = line.get("phones"), line.get("active")
    return Clip(
        id=line["id"],
        kind=line["kind"],
        split=line["split"],
        first_frame=line["first_frame"],
        num_frames=line["num_frames"],
        text=line.get("text"),
        phones=None if phones is None else np.asarray(phones, dtype=np.int32).reshape(-1, 3),
        label=line.get("label"),
        active=None if active is None else tuple((s, e) for s, e in active),
        slots=line.get("slots"),
        about={k: v for k, v in line.items() if k not in _KNOWN},
    )


def join_packs(parts: list[Path], folder: Path) -> None:
    """Put finished packs one after the other into a new pack at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = [np.load(part / MELS_NAME, mmap_mode="r").shape for part in parts]
    total = sum(shape[0] for shape in shapes)
    with (folder / MELS_NAME).open("wb") as mels, (folder / CLIPS_NAME).open("w", encoding="utf-8") as clips:
        mels.write(_npy_header((total, shapes[0][1])))
        offset = 0
        for part, shape in zip(parts, shapes, strict=True):
            np.load(part / MELS_NAME, mmap_mode="r").tofile(mels)
            for text in (part / CLIPS_NAME).read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                line["first_frame"] += offset
                clips.write(json.dumps(line, separators=(",", ":")) + "\n")
            offset += shape[0]
