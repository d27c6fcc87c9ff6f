"""One call in a worker thread: the pipeline's listener over the stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from eureka.clients.blocking import BoundCall, BoundDecoder, BoundEmbedder, Stages
from eureka.pipeline.answers import add_usage
from eureka.pipeline.conversation import AudioItem, SpokenTurn
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.pipeline.results import raise_unless_answered
from eureka.types import (
    SAMPLE_RATE_HZ,
    Ending,
    HearingResult,
    Logprobs,
    ModelCard,
    Pcm,
    Task,
    TextDelta,
    TextPart,
    Usage,
)
from services.gateway.decoding import RecordingDecoder
from services.gateway.requests import AskedTurn, Recording

_NAME = "the audio"
"""Stands in results and messages for a file that has no name here."""


@dataclass(frozen=True, slots=True)
class HearingLimits:
    """Limits of the gateway.

    Attributes:
        max_prompt_audio_seconds: audio of one prompt.
        max_window_audio_seconds: audio of one Transcribe or Caption.
        silence_dbfs: below it a span is silent.
    """

    max_prompt_audio_seconds: float
    max_window_audio_seconds: float
    silence_dbfs: float = -70.0


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """What was heard in one channel."""

    channel: int
    result: HearingResult


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in all channels that were asked for, and what it cost."""

    tracks: tuple[HeardTrack, ...]
    usage: Usage

    @property
    def num_samples(self) -> int:
        """Audio of all tracks."""
        return sum(num_samples(track.result) for track in self.tracks)


@dataclass(frozen=True, slots=True)
class Conversed:
    """An answer, and how it ended."""

    result: HearingResult
    ending: Ending
    logprobs: tuple[Logprobs, ...]


class CallListener:
    """Answers one call; its methods block, and end with CancelledError when the call does.

    Args:
        stages: encoder, adapter and decoder.
        decoder: of recordings.
        call: whose it is.
        card: of the checkpoint.
        limits: of the gateway.
    """

    def __init__(
        self,
        stages: Stages,
        decoder: RecordingDecoder,
        call: BoundCall,
        card: ModelCard,
        limits: HearingLimits,
    ) -> None:
        self._decoder = decoder
        self._call = call
        self._limits = limits
        settings = ListenerSettings(
            model=card.name,
            best_window_seconds=card.best_window_seconds,
            max_prompt_audio_seconds=limits.max_prompt_audio_seconds,
            silence_dbfs=limits.silence_dbfs,
        )
        self._listener = Listener(BoundEmbedder(stages, call), BoundDecoder(stages, call, card), settings)

    def hear(self, task: Task, recording: Recording, options: ListenOptions) -> Heard:
        """What is said (transcribe) or heard (caption) in a recording, channel by channel if asked for."""
        channels: Sequence[int | None] = (recording.channel,)
        max_seconds = self._limits.max_window_audio_seconds
        if recording.is_each:
            channels = range(self._decoder.num_channels(recording, max_seconds, self._call))
        tracks = tuple(self._track(task, recording, channel, options) for channel in channels)
        usage = Usage()
        for track in tracks:
            usage = add_usage(usage, track.result.usage)
        return Heard(tracks, self._with_stages(usage))

    def converse(self, turns: Sequence[AskedTurn], options: ListenOptions) -> Conversed:
        """The next answer in a conversation."""
        deltas: list[TextDelta] = []
        spoken = [SpokenTurn(turn.role, tuple(self._parts(turn))) for turn in turns]
        result = self._listener.converse(_NAME, spoken, options, deltas.append)
        raise_unless_answered(result)
        logprobs = tuple(entry for delta in deltas for entry in delta.logprobs)
        ending = deltas[-1].ending or Ending.ERROR
        return Conversed(self._finished(result), ending, logprobs)

    def classify(
        self,
        recording: Recording,
        labels: Sequence[str],
        abstain_below: float | None,
        options: ListenOptions,
    ) -> HearingResult:
        """Which of the labels fits a recording best."""
        blocks = self._prompt_blocks(recording)
        return self._finished(self._listener.classify(_NAME, blocks, labels, abstain_below, options))

    def _track(
        self, task: Task, recording: Recording, channel: int | None, options: ListenOptions
    ) -> HeardTrack:
        blocks = self._decoder.blocks(recording, channel, self._limits.max_window_audio_seconds, self._call)
        listen = self._listener.transcribe if task is Task.TRANSCRIBE else self._listener.caption
        result = listen(_NAME, blocks, options)
        raise_unless_answered(result)
        return HeardTrack(channel or 0, result)

    def _parts(self, turn: AskedTurn) -> Iterator[TextPart | AudioItem]:
        for part in turn.parts:
            yield part if isinstance(part, TextPart) else AudioItem(self._prompt_blocks(part))

    def _prompt_blocks(self, recording: Recording) -> Iterator[Pcm]:
        max_seconds = self._limits.max_prompt_audio_seconds
        return self._decoder.blocks(recording, recording.channel, max_seconds, self._call)

    def _finished(self, result: HearingResult) -> HearingResult:
        return replace(result, usage=self._with_stages(result.usage))

    def _with_stages(self, usage: Usage) -> Usage:
        """The usage with what the decoder says of its own time."""
        return replace(usage, seconds={**usage.seconds, **self._call.stage_seconds})


def num_samples(result: HearingResult) -> int:
    """Audio of a result."""
    return round(result.audio_seconds * SAMPLE_RATE_HZ)
