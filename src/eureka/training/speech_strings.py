"""Strings of spoken clips, one after another with short pauses: digits of one speaker, or whole sentences.

Long windows hold several utterances of several people; single clips alone do not teach that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.training.augment import LOWEST
from eureka.training.feature_pack import FeaturePack

_MAX_PAUSE_TOKENS = 4
_FRAMES_PER_TOKEN = 8
_ENOUGH = 0.15
"""Chance after each clip that the string ends although more would fit."""


@dataclass(frozen=True, slots=True, eq=False)
class SpokenClip:
    """A clip with its words and, where known, its phones (phone, first frame, end frame)."""

    pack: FeaturePack
    index: int
    words: str
    phones: NDArray[np.int32] | None

    @property
    def num_frames(self) -> int:
        """Mel frames."""
        return self.pack.clips[self.index].num_frames


@dataclass(frozen=True, slots=True, eq=False)
class SpokenString:
    """Joined clips: raw mel (F, M), words, and phones unless one clip has none."""

    raw: NDArray[np.float32]
    words: str
    phones: NDArray[np.int32] | None


class SpeechStrings:
    """Draws strings.

    Args:
        groups: clips by group.
        shares: how often the next clip comes from each group; groups without clips are left out.
        mixed: draw the group of every clip anew; otherwise a string stays within one, as one speaker does.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[SpokenClip]], shares: Mapping[str, float], *, mixed: bool
    ) -> None:
        names = [name for name in shares if groups.get(name)]
        weights = np.array([shares[name] for name in names])
        self._shares: NDArray[np.float64] = weights / weights.sum() if names else weights
        # By length, so that those that fit the room left are a beginning of the list.
        self._groups = [sorted(groups[name], key=lambda clip: clip.num_frames) for name in names]
        self._lengths = [np.array([clip.num_frames for clip in group]) for group in self._groups]
        self._is_mixed = mixed

    def __bool__(self) -> bool:
        return bool(self._groups)

    def draw(self, longest: int, rng: np.random.Generator) -> SpokenString:
        """A string of at most `longest` mel frames; one clip, the shortest of its group, if none fits."""
        group = self._group(rng)
        chosen, pauses = [self._fitting(group, longest, rng) or self._groups[group][0]], [0]
        at = chosen[0].num_frames
        while rng.random() >= _ENOUGH:
            group = self._group(rng) if self._is_mixed else group
            pause = _FRAMES_PER_TOKEN * int(rng.integers(_MAX_PAUSE_TOKENS + 1))
            clip = self._fitting(group, longest - at - pause, rng)
            if clip is None:
                break
            chosen.append(clip)
            pauses.append(pause)
            at += pause + clip.num_frames
        return join_spoken(chosen, pauses)

    def _group(self, rng: np.random.Generator) -> int:
        return int(rng.choice(len(self._groups), p=self._shares))

    def _fitting(self, group: int, room: int, rng: np.random.Generator) -> SpokenClip | None:
        count = int(np.searchsorted(self._lengths[group], room, side="right"))
        return self._groups[group][int(rng.integers(count))] if count else None


def join_spoken(clips: Sequence[SpokenClip], pauses: Sequence[int]) -> SpokenString:
    """Join clips; `pauses` are the frames of silence before each."""
    mels: list[NDArray[np.float32]] = []
    phones: list[NDArray[np.int32] | None] = []
    at = 0
    for clip, pause in zip(clips, pauses, strict=True):
        mel = clip.pack.mel(clip.index).astype(np.float32)
        mels += [np.full((pause, mel.shape[1]), LOWEST, np.float32), mel]
        at += pause
        phones.append(None if clip.phones is None else clip.phones + np.array([0, at, at], np.int32))
        at += len(mel)
    known = [rows for rows in phones if rows is not None]
    joined = np.concatenate(known) if len(known) == len(phones) else None
    return SpokenString(np.concatenate(mels), " ".join(clip.words for clip in clips), joined)
