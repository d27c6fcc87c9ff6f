"""Listener: everything that can be asked about audio, over an embedder and a decoder.

Transcribe and caption go through planned windows and have no limit of length; ask and classify put
all audio into one prompt and have one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eureka.engine.request import Label
from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError
from eureka.pipeline.answers import Answerer, add_usage, seeded
from eureka.pipeline.options import DEFAULT_OPTIONS, ListenerSettings, ListenOptions
from eureka.pipeline.pieces import Piece, WindowResult, piece_of
from eureka.pipeline.protocols import AudioEmbedder, AudioEmbeddings, TextDecoder
from eureka.pipeline.results import gather, result_of
from eureka.pipeline.windows import WindowListener
from eureka.text.detokenizer import IncrementalDetokenizer
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_AUDIO_TOKEN,
    CoverageRow,
    Ending,
    HearingResult,
    Pcm,
    Segment,
    SegmentSource,
    Span,
    Task,
    Usage,
)

Blocks = Iterable[Pcm]
"""Decoded audio of one item in order, float32 at 16 kHz, any block length."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prompted:
    """All audio of one prompt: its embeddings, tokens an item, length and cost so far."""

    items: tuple[Pcm, ...]
    embeddings: AudioEmbeddings
    num_tokens: tuple[int, ...]
    usage: Usage

    @property
    def span(self) -> Span:
        return Span(0, sum(map(len, self.items)))


class Listener:
    """Answers about audio. Holds no state between calls.

    Args:
        embedder: pcm to embeddings.
        decoder: prompts to tokens and scores.
        tokenizer: of the checkpoint.
        prompts: of the checkpoint.
        settings: bounds and policies.
        now: seconds of a growing clock, for usage.
    """

    def __init__(
        self,
        embedder: AudioEmbedder,
        decoder: TextDecoder,
        tokenizer: Tokenizer,
        prompts: PromptBuilder,
        settings: ListenerSettings,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._embedder = embedder
        self._answerer = Answerer(decoder, now)
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._settings = settings
        self._now = now
        self._windows = WindowListener(embedder, self._answerer, tokenizer, prompts, settings, now)

    def hear(
        self, blocks: Blocks, tasks: Sequence[Task], options: ListenOptions = DEFAULT_OPTIONS
    ) -> Iterator[WindowResult]:
        """Results of windows as they end, for one or several of transcribe and caption.

        Raises: as `WindowListener.hear`, while iterating.
        """
        return self._windows.hear(blocks, tasks, options)

    def transcribe(
        self, path: str, blocks: Blocks, options: ListenOptions = DEFAULT_OPTIONS
    ) -> HearingResult:
        """What is said in one file of any length."""
        windows = self.hear(blocks, [Task.TRANSCRIBE], options)
        return gather(windows, Task.TRANSCRIBE, path, self._settings.model)

    def caption(self, path: str, blocks: Blocks, options: ListenOptions = DEFAULT_OPTIONS) -> HearingResult:
        """What is heard in one file of any length."""
        windows = self.hear(blocks, [Task.CAPTION], options)
        return gather(windows, Task.CAPTION, path, self._settings.model)

    def ask(
        self,
        path: str,
        items: Sequence[Blocks],
        question: str,
        options: ListenOptions = DEFAULT_OPTIONS,
        on_text: Callable[[str], None] | None = None,
    ) -> HearingResult:
        """The answer to a free question about one or several audio items, in their order.

        Args:
            path: name of the result.
            items: blocks of each item.
            question: free text; special strings in it stay text.
            options: of the call.
            on_text: sees the answer's text as it comes.

        Raises:
            AudioTooLongError: all items together are longer than the limit.
            InvalidInputError: blank question.
            InvalidAudioError: no item, or one without samples.
        """
        self._prompts.ask(question, 1)  # a blank question is refused before any audio is decoded
        heard = self._embed(items)
        prompt = self._prompts.ask(question, heard.num_tokens)
        pcm = np.concatenate(heard.items)
        detokenizer = IncrementalDetokenizer(self._tokenizer)

        def show(ids: Sequence[int]) -> None:
            if on_text is not None and (delta := detokenizer.push(ids)):
                on_text(delta)

        sampling = seeded(options.sampling, pcm, Task.ASK, 0)
        answer = self._answerer.answer(prompt, heard.embeddings, sampling, options.deadline, show)
        if on_text is not None and (rest := detokenizer.flush()):
            on_text(rest)
        place = CoverageRow(0, heard.span, heard.span, answer.ending)
        piece = piece_of(place, answer.token_ids, Task.ASK, self._tokenizer)
        return self._result(path, Task.ASK, piece, add_usage(heard.usage, answer.usage))

    def classify(
        self,
        path: str,
        blocks: Blocks,
        labels: Sequence[str],
        abstain_below: float | None = None,
        options: ListenOptions = DEFAULT_OPTIONS,
    ) -> HearingResult:
        """Which of `labels` fits one file best, with the probability of each.

        A label is scored as its words: underscores are read as spaces.

        Args:
            path: name of the result.
            blocks: audio of the file.
            labels: the closed set; results name labels exactly as given here.
            abstain_below: give no label where the model holds the best one, as its whole answer,
                for less probable than this (0 to 1).
            options: of the call; sampling plays no part.

        Raises:
            InvalidInputError: no labels, a blank or a repeated one, or a threshold outside [0, 1].
            AudioTooLongError: the audio is longer than the limit.
        """
        candidates = self._candidates(labels)
        if abstain_below is not None and not 0 <= abstain_below <= 1:
            raise InvalidInputError(f"abstain_below is {abstain_below}; it must lie in [0, 1]")
        heard = self._embed([blocks])
        prompt = self._prompts.classify(heard.num_tokens[0])
        scores, usage = self._answerer.score(prompt, heard.embeddings, candidates, options.deadline)
        label = scores.choose(abstain_below)
        piece = Piece(0, heard.span, heard.span, Ending.STOP, label or "", _label_segments(label, heard.span))
        result = self._result(path, Task.CLASSIFY, piece, add_usage(heard.usage, usage))
        return replace(result, label=label, scores=scores.probabilities)

    def _candidates(self, labels: Sequence[str]) -> tuple[Label, ...]:
        blank = [label for label in labels if not label.replace("_", " ").strip()]
        if not labels or blank:
            raise InvalidInputError("labels must be one or more words", reason="NO_LABELS")
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise InvalidInputError(f"labels must differ; repeated: {repeated}", reason="REPEATED_LABEL")
        words = (" ".join(label.replace("_", " ").split()) for label in labels)
        encoded = (self._tokenizer.encode_plain(text) for text in words)
        return tuple(Label(name, ids) for name, ids in zip(labels, encoded, strict=True))

    def _embed(self, items: Sequence[Blocks]) -> _Prompted:
        if not items:
            raise InvalidAudioError("there is no audio", reason="EMPTY_AUDIO")
        started = self._now()
        limit_samples = int(self._settings.max_prompt_audio_seconds * SAMPLE_RATE_HZ)
        pcms: list[Pcm] = []
        for blocks in items:
            pcms.append(self._collect(blocks, limit_samples - sum(map(len, pcms))))
        decoded = self._now()
        embeddings = self._embedder.embed(pcms)
        usage = Usage(seconds={"decode": decoded - started, "embed": self._now() - decoded})
        num_tokens = tuple(-(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN) for pcm in pcms)
        return _Prompted(tuple(pcms), embeddings, num_tokens, usage)

    def _collect(self, blocks: Blocks, room_samples: int) -> Pcm:
        """All samples of one item; stops reading as soon as the limit is passed."""
        parts: list[Pcm] = []
        for block in blocks:
            room_samples -= len(block)
            if room_samples < 0:
                raise AudioTooLongError(
                    f"one prompt takes at most {self._settings.max_prompt_audio_seconds:g} s of audio; "
                    "send less, or transcribe or caption it, which take any length"
                )
            parts.append(block)
        if not sum(map(len, parts)):
            raise InvalidAudioError("the audio holds no samples", reason="EMPTY_AUDIO")
        return np.concatenate(parts)

    def _result(self, path: str, task: Task, piece: Piece, usage: Usage) -> HearingResult:
        return result_of(path, task, [piece], self._settings.model, usage)


def _label_segments(label: str | None, span: Span) -> tuple[Segment, ...]:
    if label is None:
        return ()
    return (Segment(span.start_seconds, span.end_seconds, label, SegmentSource.WINDOW),)
