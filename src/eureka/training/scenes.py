"""Scenes composed on the fly: clips laid in time, with speech and background, and what is heard when.

The plan of a scene (what is cut where, how loud, at what time) is drawn once from lengths and events
alone; then it is rendered from mels as a sum of powers (training) or from samples (evaluation, demo),
so both follow the same rules. The same clips, rules and seed give the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.audio.log_mel import raw_log_mel
from eureka.errors import InvalidInputError
from eureka.training.activity import FRAMES_PER_SECOND, active_parts
from eureka.training.augment import LOWEST, RawMel, add_powers
from eureka.training.events import Event, caption_text, clip_events, manifest_events, merge_events
from eureka.training.feature_pack import Clip, FeaturePack
from eureka.training.manifest import ManifestClip
from eureka.training.scene_plan import Placement, SceneClip, ScenePlan, SceneRules, plan_scene
from eureka.types import SAMPLE_RATE_HZ, Pcm

__all__ = [
    "Event",
    "PcmScene",
    "Scene",
    "SceneClip",
    "ScenePlan",
    "SceneRules",
    "clip_events",
    "compose_pcm_scene",
    "compose_scene",
    "scene_clip_of_pack",
    "scene_clip_of_pcm",
]

SUNG_LABELS = ("song_vocals", "choir")
"""Labels with words that nobody wrote down."""

FADE_FRAMES = 3
"""A cut inside a sound is faded over 30 ms."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A composed scene before augmentation.

    Attributes:
        raw: log10 mel powers (F, M) float32, F by 8.
        events: what is heard when, merged, in order of start.
        words: all that is said, in order; empty where nobody speaks, None where unknown.
        phones: rows (phone, first frame, end frame) of all speech; None where unknown.
        placements: where the clips lie.
    """

    raw: RawMel
    events: tuple[Event, ...]
    words: str | None
    phones: NDArray[np.int32] | None
    placements: tuple[Placement, ...]

    @property
    def caption(self) -> str:
        """The timed caption."""
        return caption_text(self.events)


@dataclass(frozen=True, slots=True)
class PcmScene:
    """A scene of samples, see `Scene`; pcm is (S,) float32 at 16 kHz."""

    pcm: Pcm
    events: tuple[Event, ...]
    words: str | None
    placements: tuple[Placement, ...]

    @property
    def caption(self) -> str:
        """The timed caption."""
        return caption_text(self.events)


def scene_clip_of_pack(pack: FeaturePack, index: int, phones: NDArray[np.int32] | None = None) -> SceneClip:
    """Clip `index` of a pack as material; `phones` replaces those of the pack."""
    clip = pack.clips[index]
    words = _said_in(clip)
    events = clip_events(clip)
    return SceneClip(pack.mel(index), events, words, clip.phones if phones is None else phones)


def scene_clip_of_pcm(pcm: Pcm, clip: ManifestClip, num_mel_bins: int = 80) -> SceneClip:
    """A decoded clip of a manifest as material, with its samples."""
    mel = raw_log_mel(pcm, num_mel_bins).T
    words = _said_in(clip)
    events = manifest_events(clip, () if clip.active else active_parts(mel))
    return SceneClip(mel, events, words, None, pcm)


def compose_scene(
    clips: Sequence[SceneClip],
    rng: np.random.Generator,
    rules: SceneRules | None = None,
    num_frames: int | None = None,
    background: SceneClip | None = None,
) -> Scene:
    """A scene of clips in the mel domain.

    Args:
        clips: 1 to 3 or more sounds and speech clips, laid in a drawn order.
        rng: decides everything that is drawn.
        rules: layout; the defaults when omitted.
        num_frames: length in mel frames, by 8; drawn when omitted.
        background: sounds quietly over the whole scene.

    Raises:
        InvalidInputError: there is no clip, one has no events, or speech is longer than the scene.
    """
    plan = plan_scene(clips, rng, rules or SceneRules(), num_frames, background)
    raw = np.full((plan.num_frames, clips[0].mel.shape[1]), LOWEST, np.float32)
    for placement in plan.placements:
        piece = _cut_mel(plan.clips[placement.clip], placement)
        rows = slice(placement.at_frame, placement.at_frame + placement.num_frames)
        raw[rows] = add_powers(raw[rows], piece)
    spoken = [(plan.clips[p.clip], p) for p in plan.placements if plan.clips[p.clip].is_speech]
    return Scene(raw, _placed_events(plan), _placed_words(plan), _placed_phones(spoken), plan.placements)


def compose_pcm_scene(
    clips: Sequence[SceneClip],
    rng: np.random.Generator,
    rules: SceneRules | None = None,
    num_frames: int | None = None,
    background: SceneClip | None = None,
) -> PcmScene:
    """The scene that `compose_scene` would lay out, rendered from the clips' samples.

    Raises:
        InvalidInputError: as `compose_scene`, or a clip has no samples.
    """
    plan = plan_scene(clips, rng, rules or SceneRules(), num_frames, background)
    hop = SAMPLE_RATE_HZ // FRAMES_PER_SECOND
    pcm = np.zeros(plan.num_frames * hop, np.float32)
    for placement in plan.placements:
        piece = _cut_pcm(plan.clips[placement.clip], placement, hop)
        start = placement.at_frame * hop
        pcm[start : start + len(piece)] += piece
    # Clipping would be a sound of its own; the model hears level, so only what must be is scaled.
    peak = float(np.abs(pcm).max())
    return PcmScene(pcm / max(1.0, peak / 0.98), _placed_events(plan), _placed_words(plan), plan.placements)


def _said_in(clip: Clip | ManifestClip) -> str | None:
    """Words of a clip: empty for a sound, None for orders without a transcript and for songs."""
    is_unknown = bool(clip.slots) or clip.label in SUNG_LABELS
    return clip.text if clip.text is not None or is_unknown else ""


def _cut_mel(clip: SceneClip, placement: Placement) -> RawMel:
    rows = slice(placement.first_frame, placement.first_frame + placement.num_frames)
    piece = clip.mel[rows].astype(np.float32) + np.float32(placement.gain)
    # A ramp of the amplitude; the power goes by its square.
    ramp = 2 * np.log10((np.arange(FADE_FRAMES) + 0.5) / FADE_FRAMES).astype(np.float32)
    edge = min(FADE_FRAMES, len(piece))
    piece[:edge] += ramp[:edge, None]
    piece[len(piece) - edge :] += ramp[:edge][::-1, None]
    return piece


def _cut_pcm(clip: SceneClip, placement: Placement, hop: int) -> Pcm:
    if clip.pcm is None:
        raise InvalidInputError("a scene of samples needs clips with samples")
    start = placement.first_frame * hop
    piece = clip.pcm[start : start + placement.num_frames * hop] * np.float32(10 ** (placement.gain / 2))
    edge = min(FADE_FRAMES * hop, len(piece))
    ramp = np.linspace(0.0, 1.0, edge, dtype=np.float32)
    piece[:edge] *= ramp
    piece[len(piece) - edge :] *= ramp[::-1]
    return np.asarray(piece, dtype=np.float32)


def _placed_events(plan: ScenePlan) -> tuple[Event, ...]:
    events = []
    for placement in plan.placements:
        shift = (placement.at_frame - placement.first_frame) / FRAMES_PER_SECOND
        first = placement.at_frame / FRAMES_PER_SECOND
        last = (placement.at_frame + placement.num_frames) / FRAMES_PER_SECOND
        for event in plan.clips[placement.clip].events:
            start, end = max(event.start_seconds + shift, first), min(event.end_seconds + shift, last)
            if end - start > 0.02:  # less than two frames of it is nothing to hear
                events.append(Event(event.phrase, start, end))
    return merge_events(events)


def _placed_words(plan: ScenePlan) -> str | None:
    ordered = sorted(plan.placements, key=lambda placement: placement.at_frame)
    said = [plan.clips[p.clip].words for p in ordered]
    return None if any(words is None for words in said) else " ".join(words for words in said if words)


def _placed_phones(spoken: list[tuple[SceneClip, Placement]]) -> NDArray[np.int32] | None:
    rows = []
    for clip, placement in sorted(spoken, key=lambda pair: pair[1].at_frame):
        if clip.phones is None:
            return None
        low, high = placement.at_frame, placement.at_frame + placement.num_frames
        moved = clip.phones + np.array([0, 1, 1], np.int32) * (placement.at_frame - placement.first_frame)
        moved[:, 1:] = np.clip(moved[:, 1:], low, high)
        rows.append(moved[moved[:, 2] > moved[:, 1]])
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 3), np.int32)
