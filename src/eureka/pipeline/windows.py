"""A stream of decoded blocks becomes a stream of window results, in constant memory.

Windows are planned at pauses, silent ones are not sent, each other one is embedded once and
answered for every task; seams between windows are settled before a result is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from eureka.audio.plan import PlannedWindow, plan_windows
from eureka.errors import InvalidAudioError
from eureka.pipeline.answers import Answerer, add_usage
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.pipeline.pieces import Piece, WindowResult, join_neighbours, piece_of
from eureka.pipeline.protocols import AudioEmbedder, TextDecoder
from eureka.pipeline.retries import PersistentAnswerer, StretchAnswer
from eureka.pipeline.stretches import Stretch
from eureka.types import CoverageRow, Ending, Instruction, Pcm, Span, Task, Usage

_ABANDONED = (Ending.CANCELLED, Ending.DEADLINE)
"""After one of these no further window is tried; the ledger says so for each."""


class WindowListener:
    """Hears the windows of one file for one or several tasks.

    Args:
        embedder: pcm to embeddings.
        decoder: instructions to text.
        settings: bounds and policies.
        now: seconds of a growing clock, for usage.
    """

    def __init__(
        self,
        embedder: AudioEmbedder,
        decoder: TextDecoder,
        settings: ListenerSettings,
        now: Callable[[], float],
    ) -> None:
        self._embedder = embedder
        self._decoder = decoder
        self._answerer = Answerer(decoder, now)
        self._settings = settings
        self._now = now

    def hear(
        self, blocks: Iterable[Pcm], tasks: Sequence[Task], options: ListenOptions
    ) -> Iterator[WindowResult]:
        """Results of all windows in order; each is given out when its seam with the next is settled.

        Args:
            blocks: decoded audio in order, float32 at 16 kHz, any block length.
            tasks: transcribe, caption or both.
            options: of the call.

        Raises:
            InvalidInputError: unknown language.
            InvalidAudioError: there is no sample (EMPTY_AUDIO).
            EurekaError: the audio cannot be decoded or embedded.
        """
        answerers = {task: self._answerer_of(task, options) for task in tasks}
        held: WindowResult | None = None
        abandoned: Ending | None = None
        for planned, seconds in self._planned(blocks, options):
            result = self._window(planned, answerers, abandoned)
            result = replace(result, usage=add_usage(Usage(seconds={"decode": seconds}), result.usage))
            abandoned = abandoned or _abandoned(result)
            if held is not None:
                held, result = join_neighbours(held, result)
                yield held
            held = result
        if held is None:
            raise InvalidAudioError("the audio holds no samples", reason="EMPTY_AUDIO")
        yield held

    def hear_window(
        self, planned: PlannedWindow, tasks: Sequence[Task], options: ListenOptions
    ) -> WindowResult:
        """Result of one window that was planned before, perhaps elsewhere; its seams are not settled.

        Raises:
            InvalidInputError: unknown language.
            EurekaError: the audio cannot be embedded, or a request was not accepted.
        """
        return self._window(planned, {task: self._answerer_of(task, options) for task in tasks}, None)

    def _answerer_of(self, task: Task, options: ListenOptions) -> PersistentAnswerer:
        instruction = Instruction(task, options.language if task is Task.TRANSCRIBE else None)
        self._decoder.check(instruction)  # an unknown language is refused before any audio is decoded
        return PersistentAnswerer(self._answerer, self._settings, instruction, options)

    def _planned(
        self, blocks: Iterable[Pcm], options: ListenOptions
    ) -> Iterator[tuple[PlannedWindow, float]]:
        """Planned windows with the seconds that decoding and planning took."""
        best = self._settings.best_window_seconds
        longest = min(best, options.max_window_seconds or best)
        windows = iter(plan_windows(blocks, longest, self._settings.silence_dbfs))
        while True:
            started = self._now()
            planned = next(windows, None)
            if planned is None:
                return
            yield planned, self._now() - started

    def _window(
        self,
        planned: PlannedWindow,
        answerers: dict[Task, PersistentAnswerer],
        abandoned: Ending | None,
    ) -> WindowResult:
        skipped = Ending.SILENCE if planned.is_silent else abandoned
        if skipped is not None:
            piece = Piece(planned.index, planned.owned, planned.heard, skipped)
            return WindowResult(planned.index, planned.owned, dict.fromkeys(answerers, (piece,)), Usage())
        started = self._now()
        embeddings = self._embedder.embed([planned.pcm])
        usage = Usage(seconds={"embed": self._now() - started})
        stretch = Stretch(planned.heard.start_sample, planned.pcm, embeddings)
        pieces: dict[Task, tuple[Piece, ...]] = {}
        for task, answerer in answerers.items():
            found = answerer.answer(stretch)
            pieces[task] = tuple(self._pieces(planned, found, task))
            for attempt in (attempt for part in found for attempt in part.attempts):
                usage = add_usage(usage, attempt.usage)
        return WindowResult(planned.index, planned.owned, pieces, usage)

    def _pieces(self, planned: PlannedWindow, found: Sequence[StretchAnswer], task: Task) -> Iterator[Piece]:
        """One piece an answered stretch; the owned span is divided where the stretches meet."""
        inner = [_within(part.stretch.start_sample, planned.owned) for part in found[1:]]
        edges = [planned.owned.start_sample, *inner, planned.owned.end_sample]
        for part, edge in zip(found, pairwise(edges), strict=True):
            start, answer = part.stretch.start_sample, part.answer
            heard = Span(start, start + len(part.stretch.pcm))
            place = CoverageRow(planned.index, Span(*edge), heard, answer.ending)
            yield piece_of(place, answer.phrases, task)


def _within(sample: int, span: Span) -> int:
    return min(max(sample, span.start_sample), span.end_sample)


def _abandoned(result: WindowResult) -> Ending | None:
    endings = [piece.ending for pieces in result.pieces.values() for piece in pieces]
    return next((ending for ending in endings if ending in _ABANDONED), None)
