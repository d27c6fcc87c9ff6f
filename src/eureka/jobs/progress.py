"""How far a job is, in seconds of its audio."""

from __future__ import annotations

from dataclasses import dataclass

from eureka.jobs.reading import JobView
from eureka.types import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Progress:
    """Audio that needs no more work, silence included, of all audio; both in seconds."""

    ended_seconds: float
    total_seconds: float

    @property
    def share(self) -> float:
        """From 0 to 1; 0 before the audio is planned."""
        return self.ended_seconds / self.total_seconds if self.total_seconds else 0.0


def progress_of(view: JobView | None) -> Progress:
    """The progress that a view shows; while windows are heard again they count as not ended."""
    if view is None:
        return Progress(0.0, 0.0)
    ended = view.ended_now()
    num_samples = sum(
        window.owned.num_samples for window in view.windows if window.is_silent or window.index in ended
    )
    return Progress(num_samples / SAMPLE_RATE_HZ, view.plan.audio_seconds)
