"""One window of a job through the pipeline: encoded once, heard for each track, watched between requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from eureka.audio.plan import PlannedWindow
from eureka.engine.request import LabelScores
from eureka.errors import CancelledError, EurekaError
from eureka.jobs.outcome import Failure, ModelVersion, Track, ended, is_outcome
from eureka.jobs.plan import PlannedSpan
from eureka.jobs.spec import JobSpec
from eureka.pipeline.answers import Answerer, add_usage
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.pipeline.pieces import Piece
from eureka.pipeline.protocols import AudioEmbedder, AudioEmbeddings, TextDecoder
from eureka.pipeline.speech import CaptionCheck
from eureka.pipeline.stretches import Stretch, part_of
from eureka.pipeline.windows import WindowListener
from eureka.types import (
    Ending,
    Instruction,
    ModelCard,
    Pcm,
    SamplingParams,
    Task,
    TextDelta,
    TextRequest,
    Usage,
)

_CAPTION_FIRST = (Task.CAPTION, Task.TRANSCRIBE)
"""The order of tracks: the caption says whether a transcript may be empty."""


@dataclass(frozen=True, slots=True)
class JobModel:
    """The model that jobs are heard by, wherever it runs.

    Attributes:
        embedder: pcm to embeddings.
        decoder: instructions to text.
        settings: bounds and policies; the retries of windows are those of `settings.retry`.
        card: of the checkpoint.
        numerics: name of the numeric mode, recorded in each result.
    """

    embedder: AudioEmbedder
    decoder: TextDecoder
    settings: ListenerSettings
    card: ModelCard
    numerics: str = "exact"

    @property
    def version(self) -> ModelVersion:
        """Which weights answer, and how."""
        return ModelVersion(self.card.name, self.card.weights_sha256, self.numerics)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks that hearing reads; tests give their own.

    Attributes:
        usage: seconds of a growing clock, for what work cost.
        utc: the time of day, for deadlines.
        deadline: seconds of the decoder's clock.
    """

    utc: Callable[[], datetime]
    usage: Callable[[], float] = time.perf_counter
    deadline: Callable[[], float] = time.monotonic


class WindowHearing:
    """Hears windows for all tracks of a job.

    Args:
        model: see there.
        clocks: see there.
    """

    def __init__(self, model: JobModel, clocks: Clocks) -> None:
        self._model = model
        self._clocks = clocks

    def hear(
        self, spec: JobSpec, window: PlannedSpan, pcm: Pcm, beat: Callable[[], None]
    ) -> tuple[dict[Task, Track], Usage]:
        """The tracks of one window, and what they cost.

        An error about one track, such as a refusal, is that track's; an error that may pass is raised.

        Args:
            spec: of the job.
            window: of its plan.
            pcm: the heard samples.
            beat: called before each request; may raise to end the work.

        Raises:
            CancelledError: what `beat` raised, or the decoder's side ended a request.
            EurekaError: a part that serves is away (`is_retryable`).
        """
        embedder = _OnceEmbedder(self._model.embedder)
        decoder = _WatchedDecoder(self._model.decoder, beat)
        settings, options = self._attempts(spec, window)
        check = CaptionCheck(Answerer(decoder, self._clocks.usage), options)
        settings = replace(settings, has_speech=settings.has_speech or check)
        listener = WindowListener(embedder, decoder, settings, self._clocks.usage)
        planned = PlannedWindow(window.index, window.heard, window.owned, pcm, is_silent=False)
        tracks: dict[Task, Track] = {}
        usage = Usage()
        for task in sorted(spec.tasks, key=_CAPTION_FIRST.index):
            pieces, cost, failure = self._track(listener, planned, task, options)
            usage = add_usage(usage, cost)
            tracks[task] = Track(pieces, decoder.num_requests[task], failure)
            if task is Task.CAPTION and failure is None:
                check.learn(planned.heard.start_sample, len(pcm), " ".join(piece.text for piece in pieces))
            elif task is Task.TRANSCRIBE and failure is None:
                stretch = Stretch(planned.heard.start_sample, pcm, embedder.embed([pcm]))
                tracks[task] = _without_missed_speech(tracks[task], stretch, settings)
        return {task: tracks[task] for task in spec.tasks}, add_usage(usage, check.usage)

    def _track(
        self, listener: WindowListener, planned: PlannedWindow, task: Task, options: ListenOptions
    ) -> tuple[tuple[Piece, ...], Usage, Failure | None]:
        try:
            result = listener.hear_window(planned, [task], options)
        except CancelledError:
            raise
        except EurekaError as error:
            if not is_outcome(error):
                raise
            row = PlannedSpan(planned.index, planned.owned, planned.heard, None)
            return ended(row, Ending.ERROR).pieces, Usage(), Failure.of(error)
        pieces = result.pieces[task]
        if any(piece.ending is Ending.CANCELLED for piece in pieces):
            raise CancelledError("the decoder ended the request; nobody here asked for it")
        return pieces, result.usage, None

    def _attempts(self, spec: JobSpec, window: PlannedSpan) -> tuple[ListenerSettings, ListenOptions]:
        """Settings and options; where earlier rounds used up attempts, seeds go on from there."""
        settings, sampling = self._model.settings, spec.sampling
        if window.first_retry:
            seed = sampling.seed + window.first_retry
            others = tuple(replace(other, seed=seed) for other in settings.retry.resamplings)
            settings = replace(settings, retry=replace(settings.retry, resamplings=others))
            sampling = _resampled(sampling, others, seed)
        options = ListenOptions(sampling, spec.language, None, self._deadline(spec), spec.lane.priority)
        return settings, options

    def _deadline(self, spec: JobSpec) -> float | None:
        if spec.deadline_time is None:
            return None
        left = (spec.deadline_time - self._clocks.utc()).total_seconds()
        return self._clocks.deadline() + left


def _without_missed_speech(track: Track, heard: Stretch, settings: ListenerSettings) -> Track:
    """An empty transcript where somebody speaks, after all attempts, is an error in the ledger."""
    has_speech = settings.has_speech
    assert has_speech is not None, "jobs always check"

    def checked(piece: Piece) -> Piece:
        is_empty = piece.ending is Ending.STOP and not piece.text
        is_missed = is_empty and has_speech(part_of(heard, piece.heard))
        return replace(piece, ending=Ending.ERROR) if is_missed else piece

    pieces = tuple(checked(piece) for piece in track.pieces)
    if pieces == track.pieces:
        return track
    failure = Failure("INTERNAL", "SPEECH_NOT_TRANSCRIBED", "there is speech, and no attempt gave words")
    return replace(track, pieces=pieces, failure=failure)


def _resampled(first: SamplingParams, others: Sequence[SamplingParams], seed: int) -> SamplingParams:
    """The sampling that a later round begins with: the first attempt of all would only repeat itself."""
    if not others:
        return replace(first, seed=seed)
    kept = {name: getattr(first, name) for name in ("max_new_tokens", "ban_token_ids", "stop")}
    return replace(others[0], **kept)


class _OnceEmbedder:
    """Embeds the pcm of a window once, whatever asks for it."""

    def __init__(self, embedder: AudioEmbedder) -> None:
        self._embedder = embedder
        self._pcm: Pcm | None = None
        self._embeddings: AudioEmbeddings | None = None

    def embed(self, items: Sequence[Pcm]) -> AudioEmbeddings:
        (pcm,) = items
        if self._embeddings is None or pcm is not self._pcm:
            self._pcm, self._embeddings = pcm, self._embedder.embed(items)
        return self._embeddings


class _WatchedDecoder:
    """A decoder that says before each request that work goes on, and counts the requests of each task."""

    def __init__(self, decoder: TextDecoder, beat: Callable[[], None]) -> None:
        self._decoder = decoder
        self._beat = beat
        self.num_requests: Counter[Task] = Counter()

    def check(self, instruction: Instruction) -> None:
        self._decoder.check(instruction)

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        self._beat()
        self.num_requests[request.instruction.task] += 1
        return self._decoder.generate(request)

    def score(self, request: TextRequest, labels: Sequence[str]) -> LabelScores:
        return self._decoder.score(request, labels)
