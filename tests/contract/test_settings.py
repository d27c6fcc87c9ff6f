"""Settings that lower floors know under their own names keep the same names and defaults."""

from __future__ import annotations

from dataclasses import asdict

from eureka.audio.decode import DecodeLimits
from eureka.runtime.settings import AudioSettings


def test_audio_settings_fill_the_limits_of_the_decoder() -> None:
    assert AudioSettings().limits() == asdict(DecodeLimits())
