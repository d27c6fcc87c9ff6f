"""Planning: the audio is decoded once, in constant memory, and cut into windows at pauses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from eureka.audio.plan import PlannedWindow, plan_windows
from eureka.errors import NotFoundError
from eureka.jobs.job_store import JobStore
from eureka.jobs.plan import JobPlan, PlannedSource, PlannedSpan
from eureka.jobs.source import AudioOpener
from eureka.jobs.spec import JobSpec
from eureka.storage.keys import JobKeys
from eureka.types import ModelCard, Pcm

_WINDOWS_A_LOOK = 16
"""A minute or two of audio, which plan in well under a second."""


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What cuts depend on besides the audio; both are recorded in each plan.

    Attributes:
        card: of the checkpoint that will hear the windows.
        silence_dbfs: a span is silent when every 100 ms of it lie below this level.
    """

    card: ModelCard
    silence_dbfs: float = -70.0


class Planner:
    """Plans rounds over whole audio; running it twice has no effect.

    Args:
        jobs: where specs are read and plans are written.
        opener: decodes the audio.
        settings: what cuts depend on.
    """

    def __init__(self, jobs: JobStore, opener: AudioOpener, settings: PlanSettings) -> None:
        self._jobs = jobs
        self._opener = opener
        self._settings = settings

    def plan(
        self, keys: JobKeys, round_number: int = 1, is_stopped: Callable[[], bool] = lambda: False
    ) -> JobPlan | None:
        """The plan of a round, written now unless it is there; None where the job was stopped meanwhile.

        Args:
            keys: of the job.
            round_number: above 1 for a job whose audio could not be planned before.
            is_stopped: asked every few windows.

        Raises:
            NotFoundError: no such job, or its audio is gone.
            EurekaError: the audio cannot be decoded; the store is away.
        """
        known = self._jobs.plan(keys, round_number)
        if known is not None:
            return known
        made = self._make(self._jobs.spec(keys), round_number, is_stopped)
        if made is None or self._jobs.put_plan(keys, made):
            return made
        return self._jobs.plan(keys, round_number)  # somebody else's, which stands

    def _make(self, spec: JobSpec, round_number: int, is_stopped: Callable[[], bool]) -> JobPlan | None:
        seconds, silence = spec.window_seconds(self._settings.card), self._settings.silence_dbfs
        source = self._source(spec)
        with (
            self._jobs.objects.open(source.key) as file,
            self._opener(file) as reader,
        ):
            counted = _Counted(reader)
            windows: list[PlannedSpan] = []
            for window in plan_windows(counted, seconds, silence):
                if window.index % _WINDOWS_A_LOOK == 0 and is_stopped():
                    return None
                windows.append(_planned(window))
            damage = reader.info.damage
        return JobPlan(
            round_number,
            source,
            counted.num_samples,
            counted.digest.hexdigest(),
            seconds,
            silence,
            damage,
            tuple(windows),
        )

    def _source(self, spec: JobSpec) -> PlannedSource:
        try:
            info = self._jobs.objects.stat(spec.audio_key)
        except NotFoundError as error:
            message = f"there is no object {spec.audio_key}; upload the audio and make the job again"
            raise NotFoundError(message, reason="AUDIO_NOT_FOUND") from error
        return PlannedSource(spec.audio_key, info.num_bytes, info.etag, info.sha256)


class _Counted:
    """Blocks on their way, counted and hashed."""

    def __init__(self, blocks: Iterable[Pcm]) -> None:
        self._blocks = blocks
        self.num_samples = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[Pcm]:
        for block in self._blocks:
            self.num_samples += len(block)
            self.digest.update(block.tobytes())
            yield block


def _planned(window: PlannedWindow) -> PlannedSpan:
    sha256 = None if window.is_silent else hashlib.sha256(window.pcm.tobytes()).hexdigest()
    return PlannedSpan(window.index, window.owned, window.heard, sha256)
