"""Decoded frames of any sample format as mono float32: the mean of all channels, or one of them."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidAudioError
from eureka.types import Pcm

LARGEST_SAMPLE = 64.0
"""36 dB above full scale. Codecs overshoot by a few dB; more means another scale (16-bit integers
written as floats, say) or garbage."""

_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


def frame_to_mono(frame: av.AudioFrame, channel: int | None = None) -> Pcm:
    """(samples,) float32, full scale 1.0; float samples may be anything.

    Args:
        frame: of any number of channels.
        channel: which one, from 0; the average of all when omitted. A frame in the middle of a damaged
            stream may have fewer channels than the stream: its last one then stands for those it lacks.

    Raises:
        InvalidAudioError: a sample format that is not served (UNSUPPORTED_CODEC).
    """
    channels = _channels(frame)
    if channel is not None:
        channel = min(channel, len(channels) - 1)
        channels = channels[channel : channel + 1]
    kind = frame.format.name.removesuffix("p")
    with np.errstate(over="ignore", invalid="ignore"):  # `check_samples` follows
        mono: Pcm = channels[0].astype(np.float32)
        for channel in channels[1:]:
            mono += channel
    if kind == "u8":
        mono -= np.float32(128 * len(channels))
    mono *= np.float32(1.0 / (len(channels) * _FULL_SCALE.get(kind, 1.0)))
    return mono


def check_samples(mono: Pcm) -> None:
    """Refuse samples that are no audio.

    Raises:
        InvalidAudioError: NaN or Inf (NON_FINITE_SAMPLES), or far beyond full scale
            (SAMPLES_OUT_OF_RANGE).
    """
    peak = float(np.abs(mono).max(initial=0.0))
    if not np.isfinite(peak):
        raise InvalidAudioError("the audio holds NaN or infinite samples", reason="NON_FINITE_SAMPLES")
    if peak > LARGEST_SAMPLE:
        message = (
            f"float samples reach {peak:g}; full scale is 1.0 and the limit {LARGEST_SAMPLE:g}: scale them"
        )
        raise InvalidAudioError(message, reason="SAMPLES_OUT_OF_RANGE")


def _channels(frame: av.AudioFrame) -> NDArray[Any]:
    """(channels, samples) in the frame's own type."""
    try:
        samples: NDArray[Any] = frame.to_ndarray()
    except (ValueError, KeyError) as error:
        message = f"samples in the format {frame.format.name} are not served"
        raise InvalidAudioError(message, reason="UNSUPPORTED_CODEC") from error
    if frame.format.is_planar:
        return samples
    channels: NDArray[Any] = samples.reshape(-1, frame.layout.nb_channels).T
    return channels
