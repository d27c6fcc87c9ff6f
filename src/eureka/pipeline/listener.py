"""Listener: everything that can be asked about audio, over an embedder and a decoder.

Transcribe and caption go through planned windows and have no limit of length; ask, converse and classify
put all audio into one prompt and have one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError
from eureka.pipeline.answers import Answer, Answerer, add_usage, seeded
from eureka.pipeline.conversation import AudioItem, Blocks, SpokenTurn, audio_items, conversation
from eureka.pipeline.options import DEFAULT_OPTIONS, ListenerSettings, ListenOptions
from eureka.pipeline.pieces import Piece, WindowResult, piece_of
from eureka.pipeline.protocols import AudioEmbedder, AudioEmbeddings, TextDecoder
from eureka.pipeline.results import gather, result_of
from eureka.pipeline.windows import WindowListener
from eureka.text.segments import are_timed, window_segments
from eureka.types import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_AUDIO_TOKEN,
    CoverageRow,
    Ending,
    HearingResult,
    Instruction,
    Pcm,
    Phrase,
    SamplingParams,
    Span,
    Task,
    TextDelta,
    TextPart,
    TextRequest,
    Usage,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Prompted:
    """All audio of one prompt, its items joined: embeddings, tokens an item, and cost so far."""

    pcm: Pcm
    embeddings: AudioEmbeddings
    num_tokens: tuple[int, ...]
    usage: Usage

    @property
    def span(self) -> Span:
        return Span(0, len(self.pcm))


_NO_AUDIO = _Prompted(np.zeros(0, np.float32), np.zeros((0, 0), np.float32), (), Usage())


class Listener:
    """Answers about audio. Holds no state between calls.

    Args:
        embedder: pcm to embeddings.
        decoder: instructions to text and scores.
        settings: bounds and policies.
        now: seconds of a growing clock, for usage.
    """

    def __init__(
        self,
        embedder: AudioEmbedder,
        decoder: TextDecoder,
        settings: ListenerSettings,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._embedder = embedder
        self._decoder = decoder
        self._answerer = Answerer(decoder, now)
        self._settings = settings
        self._now = now
        self._windows = WindowListener(embedder, decoder, settings, now)

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
        if not items:
            raise InvalidAudioError("there is no audio", reason="EMPTY_AUDIO")

        def show(delta: TextDelta) -> None:
            if on_text is not None and delta.text:
                on_text(delta.text)

        audio = tuple(AudioItem(blocks) for blocks in items)
        return self.converse(path, [SpokenTurn("user", (*audio, TextPart(question)))], options, show)

    def converse(
        self,
        path: str,
        turns: Sequence[SpokenTurn],
        options: ListenOptions = DEFAULT_OPTIONS,
        on_delta: Callable[[TextDelta], None] | None = None,
    ) -> HearingResult:
        """The next answer in a conversation of texts and audio items, or of texts alone.

        Without audio the coverage is empty, so that only the last delta says how the answer ended. The
        result's text is what the deltas said; segments, where the model timed them, say a loop at the end
        once.

        Args:
            path: name of the result.
            turns: the conversation so far; text in it never becomes a special token.
            options: of the call.
            on_delta: sees the answer's deltas as they come.

        Raises:
            AudioTooLongError: all items together are longer than the limit.
            InvalidInputError: no turn, an unknown role, or a turn that says nothing.
            InvalidAudioError: an item without samples.
        """
        items = audio_items(turns)
        self._decoder.check(conversation(turns, [1] * len(items)))  # before any audio is decoded
        heard = self._embed(items)
        sampling = seeded(options.sampling, heard.pcm, Task.ASK, 0)
        request = self._request(conversation(turns, heard.num_tokens), heard, options, sampling)
        answer = self._answerer.answer(request, on_delta)
        usage = add_usage(heard.usage, answer.usage)
        result = self._result(path, Task.ASK, _answer_pieces(answer, heard.span), usage)
        return replace(result, text=answer.text)

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
        _check_labels(labels)
        if abstain_below is not None and not 0 <= abstain_below <= 1:
            raise InvalidInputError(f"abstain_below is {abstain_below}; it must lie in [0, 1]")
        instruction = Instruction(Task.CLASSIFY)
        self._decoder.check(instruction)
        heard = self._embed([blocks])
        request = self._request(instruction, heard, options, SamplingParams())
        scores, usage = self._answerer.score(request, labels)
        label = scores.choose(abstain_below)
        text = label or ""
        piece = Piece(0, heard.span, heard.span, Ending.STOP, text, window_segments(text, heard.span))
        result = self._result(path, Task.CLASSIFY, [piece], add_usage(heard.usage, usage))
        logs = dict(zip(scores.names, scores.log_probabilities, strict=True))
        return replace(result, label=label, scores=scores.probabilities, log_probabilities=logs)

    def _request(
        self, instruction: Instruction, heard: _Prompted, options: ListenOptions, sampling: SamplingParams
    ) -> TextRequest:
        return TextRequest(instruction, heard.embeddings, sampling, options.deadline, options.priority)

    def _embed(self, items: Sequence[Blocks]) -> _Prompted:
        if not items:
            return _NO_AUDIO
        started = self._now()
        limit_samples = int(self._settings.max_prompt_audio_seconds * SAMPLE_RATE_HZ)
        pcms: list[Pcm] = []
        for blocks in items:
            pcms.append(self._collect(blocks, limit_samples - sum(map(len, pcms))))
        decoded = self._now()
        embeddings = self._embedder.embed(pcms)
        usage = Usage(seconds={"decode": decoded - started, "embed": self._now() - decoded})
        num_tokens = tuple(-(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN) for pcm in pcms)
        return _Prompted(np.concatenate(pcms), embeddings, num_tokens, usage)

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

    def _result(self, path: str, task: Task, pieces: Sequence[Piece], usage: Usage) -> HearingResult:
        return result_of(path, task, pieces, self._settings.model, usage)


def _answer_pieces(answer: Answer, span: Span) -> list[Piece]:
    """The piece of an answer about `span`; none where there was no audio."""
    if not span.num_samples:
        return []
    # Without times the answer is one segment, with the very text that was streamed, loop and all.
    phrases = answer.phrases if are_timed(answer.phrases) else (Phrase(answer.text),)
    return [piece_of(CoverageRow(0, span, span, answer.ending), phrases, Task.ASK)]


def _check_labels(labels: Sequence[str]) -> None:
    """Refuse a closed set before any audio is decoded for it."""
    blank = [label for label in labels if not label.replace("_", " ").strip()]
    if not labels or blank:
        raise InvalidInputError("labels must be one or more words", reason="NO_LABELS")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InvalidInputError(f"labels must differ; repeated: {repeated}", reason="REPEATED_LABEL")
