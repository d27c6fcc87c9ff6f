"""Generate: one prompt, its deltas as they come, without a thread that waits for tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from eureka.clients.blocking import BoundCall, Stages
from eureka.clients.instruction_check import check_against_card
from eureka.errors import AudioTooLongError
from eureka.pipeline.answers import seeded
from eureka.types import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_AUDIO_TOKEN,
    CoverageRow,
    Ending,
    ModelCard,
    Pcm,
    SamplingParams,
    Span,
    Task,
    TextDelta,
    TextRequest,
    Usage,
)
from services.gateway.admission import Admission
from services.gateway.decoding import RecordingDecoder
from services.gateway.requests import AskedTurn, Recording, instruction_of, recordings_in


@dataclass(frozen=True, slots=True, eq=False)
class Prompted:
    """A prompt that is ready to be answered.

    Attributes:
        request: for the decoder.
        num_samples: audio in it.
        seconds: spent on it so far, by stage.
    """

    request: TextRequest
    num_samples: int
    seconds: dict[str, float]

    def coverage(self, ending: Ending) -> tuple[CoverageRow, ...]:
        """One row for all audio; none where there is none."""
        span = Span(0, self.num_samples)
        return (CoverageRow(0, span, span, ending),) if self.num_samples else ()

    def usage(self, last: TextDelta, generate_seconds: float) -> Usage:
        """What the answer cost, given its last delta."""
        usage = last.usage or Usage()
        seconds = {**self.seconds, "generate": generate_seconds}
        seconds |= {stage: spent for stage, spent in usage.seconds.items() if stage in ("wait", "prefill")}
        return Usage(usage.prompt_tokens, usage.generated_tokens, seconds)


class Prompter:
    """Makes prompts of conversations.

    Args:
        stages: encoder and adapter.
        decoder: of recordings.
        admission: has the threads.
        max_prompt_audio_seconds: audio of one prompt.
    """

    def __init__(
        self,
        stages: Stages,
        decoder: RecordingDecoder,
        admission: Admission,
        max_prompt_audio_seconds: float,
    ) -> None:
        self._stages = stages
        self._decoder = decoder
        self._admission = admission
        self._max_seconds = max_prompt_audio_seconds

    async def prompt(
        self, turns: Sequence[AskedTurn], sampling: SamplingParams, call: BoundCall, card: ModelCard
    ) -> Prompted:
        """Decode and embed what the conversation holds; as `Listener.converse` does.

        Raises:
            InvalidInputError: the checkpoint cannot lay it out.
            AudioTooLongError: all recordings together are longer than the limit.
        """
        recordings = recordings_in(turns)
        check_against_card(card, instruction_of(turns, [1] * len(recordings)))  # before anything is decoded
        started = perf_counter()
        pcms = await self._decoded(recordings, call)
        decoded = perf_counter()
        embeddings = await self._stages.embed(pcms, call.context) if pcms else _NO_ROWS
        seconds: dict[str, float] = {}
        if pcms:
            seconds = {"decode": decoded - started, "embed": perf_counter() - decoded}
        counts = [-(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN) for pcm in pcms]
        joined = np.concatenate([*pcms, _NO_SAMPLES])
        context = call.context
        request = TextRequest(
            instruction_of(turns, counts),
            embeddings,
            seeded(sampling, joined, Task.ASK, 0),
            context.deadline,
            context.priority,
        )
        return Prompted(request, len(joined), seconds)

    async def _decoded(self, recordings: Sequence[Recording], call: BoundCall) -> list[Pcm]:
        if not recordings:
            return []
        return await self._admission.in_thread(call, lambda: self._decode(recordings, call))

    def _decode(self, recordings: Sequence[Recording], call: BoundCall) -> list[Pcm]:
        pcms: list[Pcm] = []
        for recording in recordings:
            pcms += self._decoder.blocks(recording, recording.channel, self._max_seconds, call)
            if sum(map(len, pcms)) > self._max_seconds * SAMPLE_RATE_HZ:
                raise AudioTooLongError(
                    f"one prompt takes at most {self._max_seconds:g} s of audio, all recordings together; "
                    "send less, or transcribe or caption it"
                )
        return pcms


async def coalesced(deltas: AsyncGenerator[TextDelta, None]) -> AsyncGenerator[TextDelta, None]:
    """The deltas, with those that came while the last one was being sent joined to one.

    Closing it closes `deltas`.
    """
    arrived: list[TextDelta] = []
    news = asyncio.Event()
    pump = asyncio.create_task(_pump(deltas, arrived.append, news))
    try:
        while not pump.done() or arrived:
            await news.wait()
            news.clear()
            if arrived:
                joined = joined_delta(arrived)
                arrived.clear()
                yield joined
        await pump  # raises what ended it
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


def joined_delta(deltas: Sequence[TextDelta]) -> TextDelta:
    """Neighbouring deltas of one answer as one."""
    last = deltas[-1]
    return TextDelta(
        text="".join(delta.text for delta in deltas),
        token_ids=tuple(token_id for delta in deltas for token_id in delta.token_ids),
        logprobs=tuple(entry for delta in deltas for entry in delta.logprobs),
        ending=last.ending,
        phrases=last.phrases,
        usage=last.usage,
    )


async def _pump(
    deltas: AsyncGenerator[TextDelta, None], take: Callable[[TextDelta], None], news: asyncio.Event
) -> None:
    try:
        async with aclosing(deltas):
            async for delta in deltas:
                take(delta)
                news.set()
    finally:
        news.set()


_NO_ROWS = np.zeros((0, 0), dtype=np.float32)
_NO_SAMPLES = np.zeros(0, dtype=np.float32)
