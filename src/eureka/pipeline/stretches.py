"""Stretches of audio that prompts are about, and where one is cut in two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eureka.pipeline.protocols import AudioEmbeddings
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm, Span

_MIDDLE = (0.3, 0.7)
"""A window is halved at the quietest token of this part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Audio that one prompt is about: pcm, and the rows of embeddings for it."""

    start_sample: int
    pcm: Pcm
    embeddings: AudioEmbeddings


def part_of(stretch: Stretch, span: Span) -> Stretch:
    """The part of a stretch that was answered for by itself; it begins where an audio token does."""
    start = span.start_sample - stretch.start_sample
    pcm, first = stretch.pcm[start : start + span.num_samples], start // SAMPLES_PER_AUDIO_TOKEN
    num_tokens = -(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN)
    return Stretch(span.start_sample, pcm, stretch.embeddings[first : first + num_tokens])


def can_halve(stretch: Stretch, shortest_seconds: float) -> bool:
    """Whether no half of the stretch would be shorter than this."""
    is_long = len(stretch.pcm) * _MIDDLE[0] >= shortest_seconds * SAMPLE_RATE_HZ
    return len(stretch.embeddings) >= 2 and is_long


def halves(stretch: Stretch) -> tuple[Stretch, Stretch]:
    """The stretch cut between two audio tokens, at the quietest token near its middle."""
    num_tokens = len(stretch.embeddings)
    cut = max(1, _quietest_token(stretch.pcm, int(num_tokens * _MIDDLE[0]), int(num_tokens * _MIDDLE[1])))
    sample = cut * SAMPLES_PER_AUDIO_TOKEN
    return (
        Stretch(stretch.start_sample, stretch.pcm[:sample], stretch.embeddings[:cut]),
        Stretch(stretch.start_sample + sample, stretch.pcm[sample:], stretch.embeddings[cut:]),
    )


def _quietest_token(pcm: Pcm, first: int, last: int) -> int:
    """Index of the token of least energy in [first, last]."""
    tokens = range(first, last + 1)
    size = SAMPLES_PER_AUDIO_TOKEN
    energies = [float(np.square(pcm[t * size : (t + 1) * size]).sum()) for t in tokens]
    return tokens[int(np.argmin(energies))]
