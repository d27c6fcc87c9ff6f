"""AudioService: requests to calls of the pipeline, results to responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeVar

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import audio_service_pb2_grpc
from eureka.clients.blocking import BoundCall, Stages
from eureka.pipeline.options import ListenOptions
from eureka.runtime.calls import current_call
from eureka.types import CallContext, Ending, ModelCard, Task, TextDelta
from services.gateway.accounts import Accounts
from services.gateway.admission import Admission
from services.gateway.checkpoints import Checkpoints
from services.gateway.decoding import RecordingDecoder
from services.gateway.generation import Prompted, Prompter, coalesced
from services.gateway.hearing import CallListener, Heard, HearingLimits, num_samples
from services.gateway.requests import (
    AudioReader,
    check_labels,
    priority_of,
    refuse_constraint,
    sampling_of,
    window_seconds_of,
)
from services.gateway.translate import (
    coverage_messages,
    finish_reason,
    logprobs_messages,
    score_messages,
    track_message,
    usage_message,
)
from services.gateway.uploads import UploadStore, receive

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Gateway:
    """What calls are served with.

    Attributes:
        stages: encoder, adapter and decoder.
        served: the checkpoint.
        reader: finds the audio of messages.
        decoder: of recordings.
        admission: places and threads.
        limits: of audio.
        uploads: kept files.
        accounts: notes what was answered.
    """

    checkpoints: Checkpoints
    reader: AudioReader
    decoder: RecordingDecoder
    admission: Admission
    limits: HearingLimits
    uploads: UploadStore
    accounts: Accounts

    def listener(self, call: Chosen) -> CallListener:
        """The pipeline for one call."""
        return CallListener(call.stages, self.decoder, call.bound, call.card, self.limits)

    def prompter(self, stages: Stages) -> Prompter:
        """Makes prompts of conversations."""
        max_seconds = self.limits.max_prompt_audio_seconds
        return Prompter(stages, self.decoder, self.admission, max_seconds)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A call, and the checkpoint that answers it.

    Attributes:
        bound: the call.
        stages: of the checkpoint.
        card: what is known of it.
    """

    bound: BoundCall
    stages: Stages
    card: ModelCard

    @property
    def context(self) -> CallContext:
        """Deadline, tenant and the like."""
        return self.bound.context


class AudioServicer(audio_service_pb2_grpc.AudioServiceServicer):
    """Checks what comes in, runs it, and translates what comes out.

    Args:
        gateway: what calls are served with.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def Transcribe(self, request: api.TranscribeRequest, context: object) -> api.TranscribeResponse:
        """What is said."""
        return api.TranscribeResponse(**await self._heard(Task.TRANSCRIBE, request, request.language))

    async def Caption(self, request: api.CaptionRequest, context: object) -> api.CaptionResponse:
        """What is heard."""
        return api.CaptionResponse(**await self._heard(Task.CAPTION, request))

    async def Ask(self, request: api.AskRequest, context: object) -> api.AskResponse:
        """The answer to a conversation."""
        gateway = self._gateway
        call = self._begin(request)
        options = self._options(call, request)
        turns = gateway.reader.turns(request.conversation, call.context.tenant)
        answer = await self._run(call, lambda: gateway.listener(call).converse(turns, options))
        result = answer.result
        gateway.accounts.note("Ask", result.usage, num_samples(result))
        return api.AskResponse(
            model=call.card.name,
            text=result.text,
            finish_reason=finish_reason(answer.ending),
            coverage=coverage_messages(result.coverage),
            usage=usage_message(result.usage, num_samples(result)),
            logprobs=logprobs_messages(answer.logprobs),
        )

    async def Classify(self, request: api.ClassifyRequest, context: object) -> api.ClassifyResponse:
        """Which label fits best."""
        gateway = self._gateway
        call = self._begin(request)
        labels = list(request.labels)
        check_labels(labels)
        threshold = request.abstain_below if request.HasField("abstain_below") else None
        recording = gateway.reader.recording(request.audio, call.context.tenant)
        options = ListenOptions(deadline=call.context.deadline, priority=call.context.priority)
        result = await self._run(
            call, lambda: gateway.listener(call).classify(recording, labels, threshold, options)
        )
        gateway.accounts.note("Classify", result.usage, num_samples(result))
        return api.ClassifyResponse(
            model=call.card.name,
            label=result.label or "",
            scores=score_messages(labels, result.scores or {}, result.log_probabilities or {}),
            coverage=coverage_messages(result.coverage),
            usage=usage_message(result.usage, num_samples(result)),
        )

    async def Generate(
        self, request: api.GenerateRequest, context: object
    ) -> AsyncIterator[api.GenerateResponse]:
        """The answer to a conversation, as it comes."""
        gateway = self._gateway
        call = self._begin(request)
        sampling = sampling_of(request.sampling)
        turns = gateway.reader.turns(request.conversation, call.context.tenant)
        async with gateway.admission.place():
            prompted = await gateway.prompter(call.stages).prompt(turns, sampling, call.bound, call.card)
            async with aclosing(self._answer(prompted, call)) as messages:
                async for message in messages:
                    yield message

    async def Upload(self, request: AsyncIterator[api.UploadRequest], context: object) -> api.UploadResponse:
        """Keep a recording."""
        upload = await receive(self._gateway.uploads, current_call().tenant, request)
        response = api.UploadResponse(upload=upload.name, size_bytes=upload.size_bytes)
        response.expire_time.FromDatetime(upload.expire_time)
        return response

    async def _heard(self, task: Task, request: Any, language: str = "") -> dict[str, Any]:
        """Fields of the response of Transcribe or Caption."""
        gateway = self._gateway
        call = self._begin(request)
        options = self._options(call, request)
        refuse_constraint(options.sampling)
        options = replace(
            options,
            sampling=replace(options.sampling, stop=(), top_logprobs=0),
            language=language or None,
            max_window_seconds=window_seconds_of(request.max_window_duration),
        )
        recording = gateway.reader.recording(request.audio, call.context.tenant, may_be_each=True)
        heard: Heard = await self._run(call, lambda: gateway.listener(call).hear(task, recording, options))
        gateway.accounts.note(task.value.capitalize(), heard.usage, heard.num_samples)
        return {
            "model": call.card.name,
            "tracks": [track_message(track.channel, track.result) for track in heard.tracks],
            "usage": usage_message(heard.usage, heard.num_samples),
        }

    def _begin(self, request: Any) -> Chosen:
        """The call, and the checkpoint that the request names."""
        stages, card = self._gateway.checkpoints.choose(request.model)
        context = replace(current_call(), priority=priority_of(request.priority))
        return Chosen(BoundCall(asyncio.get_running_loop(), context), stages, card)

    def _options(self, call: Chosen, request: Any) -> ListenOptions:
        context = call.context
        return ListenOptions(
            sampling=sampling_of(request.sampling), deadline=context.deadline, priority=context.priority
        )

    async def _run(self, call: Chosen, work: Callable[[], _T]) -> _T:
        async with self._gateway.admission.place():
            return await self._gateway.admission.in_thread(call.bound, work)

    async def _answer(self, prompted: Prompted, call: Chosen) -> AsyncGenerator[api.GenerateResponse, None]:
        """Messages of a generated answer; the last one carries its end."""
        started = last = perf_counter()
        stages, metrics = call.stages, self._gateway.accounts.metrics
        async with aclosing(coalesced(stages.generate(prompted.request, call.context))) as deltas:
            async for delta in deltas:
                now = perf_counter()
                metrics.record_output_tokens(len(delta.token_ids), now - last)
                last = now
                yield self._message(delta, prompted, call.card, now - started)

    def _message(
        self, delta: TextDelta, prompted: Prompted, card: ModelCard, seconds: float
    ) -> api.GenerateResponse:
        message = api.GenerateResponse(
            text=delta.text,
            token_count=len(delta.token_ids),
            logprobs=logprobs_messages(delta.logprobs),
        )
        if delta.ending is not None:
            message.end.CopyFrom(self._end(delta, delta.ending, prompted, card, seconds))
        return message

    def _end(
        self, delta: TextDelta, ending: Ending, prompted: Prompted, card: ModelCard, seconds: float
    ) -> api.GenerateEnd:
        usage = prompted.usage(delta, seconds)
        self._gateway.accounts.note("Generate", usage, prompted.num_samples)
        return api.GenerateEnd(
            model=card.name,
            finish_reason=finish_reason(ending),
            coverage=coverage_messages(prompted.coverage(ending)),
            usage=usage_message(usage, prompted.num_samples),
        )
