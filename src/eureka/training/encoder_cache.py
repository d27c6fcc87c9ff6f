"""Cached encoder outputs: what the decoder stage trains on without running the encoder.

A cache is a folder with `frames.npy` (float16 (total_frames, D) at 50 frames/s, memory-mapped) and
`clips.jsonl` (what is known of each clip, times already scaled by its augmentation).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.training.samples import Truth
from eureka.training.text_injection import PhonePieces

FRAMES_NAME = "frames.npy"
CLIPS_NAME = "clips.jsonl"
READ_KIND = "speechocean762"


class EncoderCacheWriter:
    """Collects clips and writes the cache at `close`, whole or not at all.

    Args:
        folder: where the cache will stand.
        total_frames: upper bound of the frames of all clips.
        width: encoder width D.
    """

    def __init__(self, folder: Path, total_frames: int, width: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._partial = folder / "frames.partial.npy"
        shape = (total_frames, width)
        self._frames = np.lib.format.open_memmap(self._partial, "w+", np.float16, shape)
        self._lines: list[str] = []
        self.num_frames = 0

    def add(self, outputs: NDArray[np.float16], truth: Truth, phones: NDArray[np.int64] | None) -> None:
        """Append a clip: outputs (T, D); phones rows (phone, first, end) in its own frames, or None."""
        start = self.num_frames
        self._frames[start : start + len(outputs)] = outputs
        self.num_frames += len(outputs)
        rows = None if phones is None else phones.tolist()
        line = {"first_frame": start, "num_frames": len(outputs), "phones": rows, "truth": truth.to_dict()}
        self._lines.append(json.dumps(line, separators=(",", ":")))

    def close(self) -> None:
        """Finish the files; the list of clips comes last and marks the cache as whole."""
        self._frames.flush()
        self._partial.replace(self._folder / FRAMES_NAME)
        (self._folder / CLIPS_NAME).write_text("\n".join(self._lines) + "\n", encoding="utf-8")


class EncoderCache:
    """Reads a cache; frames stay on disk until asked for.

    Attributes:
        frames: (total_frames, D) float16.
        truths: what is known of each clip.
        kinds: clip numbers by kind.
    """

    def __init__(self, folder: Path) -> None:
        self.frames: NDArray[np.float16] = np.load(folder / FRAMES_NAME, mmap_mode="r")
        with (folder / CLIPS_NAME).open(encoding="utf-8") as lines:
            plain = [json.loads(line) for line in lines]
        self._first = np.array([p["first_frame"] for p in plain])
        self.num_frames = np.array([p["num_frames"] for p in plain])
        self.truths = [Truth.from_dict(p["truth"]) for p in plain]
        self._phones = [p["phones"] for p in plain]
        of_kind: dict[str, list[int]] = {}
        for number, truth in enumerate(self.truths):
            of_kind.setdefault(truth.kind, []).append(number)
        self.kinds = {kind: np.array(numbers) for kind, numbers in of_kind.items()}

    def __len__(self) -> int:
        return len(self.truths)

    def outputs(self, number: int) -> NDArray[np.float16]:
        """Encoder outputs (T, D) of a clip, a view into the mapped file."""
        start = self._first[number]
        return self.frames[start : start + self.num_frames[number]]

    def read_texts(self) -> list[str]:
        """Distinct transcripts of the recorded read sentences, for the text generator."""
        numbers = self.kinds.get(READ_KIND, ())
        return list(dict.fromkeys(words for n in numbers if (words := self.truths[n].words)))

    def pieces(self) -> PhonePieces:
        """All aligned phones as pieces for gluing; scenes are left out, for their speech is not alone."""
        rows, clip_of = [], []
        for number, phones in enumerate(self._phones):
            if phones and self.truths[number].kind != "scenes":
                piece = np.array(phones, np.int64)
                piece[:, 1:] += self._first[number]
                rows.append(piece[piece[:, 2] > piece[:, 1]])
                clip_of.append(np.full(len(rows[-1]), number))
        return PhonePieces(np.concatenate(rows), np.concatenate(clip_of))
