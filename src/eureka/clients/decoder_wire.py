"""Messages of the DecoderService from and to value types, for both of its ends.

Deadlines, ids and tenants are no part of messages: they travel in gRPC itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from eureka.clients.sampling_wire import as_written, fill_sampling, sampling_of
from eureka.clients.tensors import from_tensor, to_tensor
from eureka.engine.request import LabelScores
from eureka.errors import InvalidInputError
from eureka.stage.v1 import call_pb2, tensor_pb2
from eureka.stage.v1 import decoder_service_pb2 as wire
from eureka.types import (
    AudioPart,
    Ending,
    Instruction,
    Logprobs,
    ModelCard,
    Phrase,
    Priority,
    SamplingParams,
    Task,
    TextDelta,
    TextPart,
    TextRequest,
    TokenLogprob,
    Turn,
    Usage,
)

_NANOSECONDS = 1_000_000_000
"""In a second."""

_ROLES = {"system": wire.ROLE_SYSTEM, "user": wire.ROLE_USER, "assistant": wire.ROLE_ASSISTANT}
_ROLE_NAMES = {int(number): name for name, number in _ROLES.items()}

_PRIORITIES = {
    Priority.BULK: call_pb2.PRIORITY_BULK,
    Priority.DEFAULT: call_pb2.PRIORITY_DEFAULT,
    Priority.INTERACTIVE: call_pb2.PRIORITY_INTERACTIVE,
    Priority.PROBE: call_pb2.PRIORITY_PROBE,
}

_ENDINGS: dict[Ending, wire.Ending] = {
    Ending.STOP: wire.ENDING_STOP,
    Ending.LENGTH: wire.ENDING_LENGTH,
    Ending.REPETITION: wire.ENDING_REPETITION,
    Ending.CANCELLED: wire.ENDING_CANCELLED,
    Ending.DEADLINE: wire.ENDING_DEADLINE,
    Ending.ERROR: wire.ENDING_ERROR,
}
_ENDING_NAMES = {int(number): ending for ending, number in _ENDINGS.items()}


def generate_message(request: TextRequest) -> wire.GenerateRequest:
    """Request of Generate."""
    return wire.GenerateRequest(
        instruction=_instruction_message(request.instruction),
        audio_embeddings=_embeddings_message(request.audio_embeddings),
        sampling=_sampling_message(request.sampling),
        priority=priority_message(request.priority),
    )


def score_message(request: TextRequest, labels: Sequence[str]) -> wire.ScoreRequest:
    """Request of Score."""
    return wire.ScoreRequest(
        instruction=_instruction_message(request.instruction),
        audio_embeddings=_embeddings_message(request.audio_embeddings),
        labels=labels,
        priority=priority_message(request.priority),
    )


def generate_request_of(message: wire.GenerateRequest, deadline: float | None) -> TextRequest:
    """What a Generate asks, to be answered by `deadline` on the monotonic clock.

    Raises:
        InvalidInputError: no kind of instruction, an unknown role, a part without content, or a tensor
            that is none.
    """
    return TextRequest(
        _instruction_of(message.instruction),
        _embeddings_of(message),
        _sampling_of(message.sampling),
        deadline,
        priority_of(message.priority),
    )


def score_request_of(message: wire.ScoreRequest, deadline: float | None) -> TextRequest:
    """What a Score asks; errors as `generate_request_of`."""
    return TextRequest(
        _instruction_of(message.instruction),
        _embeddings_of(message),
        deadline=deadline,
        priority=priority_of(message.priority),
    )


def delta_message(delta: TextDelta) -> wire.GenerateResponse:
    """One message of an answer."""
    return wire.GenerateResponse(
        text=delta.text,
        token_count=len(delta.token_ids),
        token_ids=delta.token_ids,
        logprobs=map(_logprobs_message, delta.logprobs),
        end=None if delta.ending is None else _end_message(delta, delta.ending),
    )


def delta_of(message: wire.GenerateResponse) -> TextDelta:
    """The delta in one message of an answer."""
    ids, logprobs = tuple(message.token_ids), tuple(map(_logprobs_of, message.logprobs))
    if not message.HasField("end"):
        return TextDelta(message.text, ids, logprobs)
    end = message.end
    ending = _ENDING_NAMES.get(end.ending, Ending.ERROR)
    phrases = tuple(map(_phrase_of, end.phrases))
    return TextDelta(message.text, ids, logprobs, ending, phrases, _usage_of(end.usage))


def scores_message(scores: LabelScores) -> wire.ScoreResponse:
    """Response of Score."""
    return wire.ScoreResponse(log_probabilities=scores.log_probabilities, usage=_usage_message(scores.usage))


def scores_of(message: wire.ScoreResponse, labels: Sequence[str]) -> LabelScores:
    """Scores under the names of the labels that were asked for."""
    return LabelScores(tuple(labels), tuple(message.log_probabilities), _usage_of(message.usage))


def card_message(card: ModelCard) -> wire.DescribeResponse:
    """Response of Describe."""
    step = card.time_step_seconds
    return wire.DescribeResponse(
        model=card.name,
        languages=[wire.Language(code=code, display_name=name) for code, name in card.languages.items()],
        context_token_count=card.context_tokens,
        best_window_duration=duration_of(card.best_window_seconds),
        time_step_duration=None if step is None else duration_of(step),
        repetition_penalty=card.repetition_penalty,
        weights_sha256=card.weights_sha256,
        numerics=card.numerics,
    )


def card_of(message: wire.DescribeResponse) -> ModelCard:
    """The checkpoint that a decoder describes."""
    has_step = message.HasField("time_step_duration")
    return ModelCard(
        name=message.model,
        languages={language.code: language.display_name for language in message.languages},
        context_tokens=message.context_token_count,
        best_window_seconds=_seconds(message.best_window_duration),
        time_step_seconds=_seconds(message.time_step_duration) if has_step else None,
        repetition_penalty=as_written(message.repetition_penalty),
        weights_sha256=message.weights_sha256,
        numerics=message.numerics or "exact",
    )


def priority_message(priority: Priority) -> call_pb2.Priority:
    """A priority; the numbers are the same."""
    return _PRIORITIES[priority]


def priority_of(number: int) -> Priority:
    """A priority; one that is unset or not known yet is the default one."""
    return Priority(number) if number in Priority.__members__.values() else Priority.DEFAULT


def duration_of(seconds: float) -> Duration:
    """Seconds as a message, to the nanosecond."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * _NANOSECONDS))
    return duration


def stage_seconds(durations: Iterable[call_pb2.StageDuration]) -> dict[str, float]:
    """Seconds by part of a stage."""
    return {each.stage: _seconds(each.duration) for each in durations}


def _instruction_message(instruction: Instruction) -> wire.Instruction:
    if instruction.task is Task.TRANSCRIBE:
        hint = wire.TranscribeInstruction(language=instruction.language or "")
        return wire.Instruction(transcribe=hint)
    if instruction.task is Task.CAPTION:
        return wire.Instruction(caption=wire.CaptionInstruction())
    if instruction.task is Task.CLASSIFY:
        return wire.Instruction(classify=wire.ClassifyInstruction())
    turns = [_turn_message(turn) for turn in instruction.turns]
    return wire.Instruction(conversation=wire.Conversation(turns=turns))


def _instruction_of(message: wire.Instruction) -> Instruction:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidInputError("the instruction says nothing", reason="NO_INSTRUCTION")
    if kind == "transcribe":
        return Instruction(Task.TRANSCRIBE, message.transcribe.language or None)
    if kind == "conversation":
        return Instruction(Task.ASK, turns=tuple(map(_turn_of, message.conversation.turns)))
    return Instruction(Task(kind))


def _turn_message(turn: Turn) -> wire.Turn:
    try:
        role = _ROLES[turn.role]
    except KeyError:
        message = f"role {turn.role!r} is not one of {', '.join(_ROLES)}"
        raise InvalidInputError(message, reason="UNKNOWN_ROLE") from None
    parts = [
        wire.Part(text=part.text)
        if isinstance(part, TextPart)
        else wire.Part(audio_token_count=part.num_audio_tokens)
        for part in turn.parts
    ]
    return wire.Turn(role=role, parts=parts)


def _turn_of(message: wire.Turn) -> Turn:
    role = _ROLE_NAMES.get(message.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidInputError(f"role {message.role} is not one of {known}", reason="UNKNOWN_ROLE")
    return Turn(role, tuple(map(_part_of, message.parts)))


def _part_of(message: wire.Part) -> TextPart | AudioPart:
    kind = message.WhichOneof("content")
    if kind is None:
        raise InvalidInputError("a part holds neither text nor audio", reason="EMPTY_PART")
    return TextPart(message.text) if kind == "text" else AudioPart(message.audio_token_count)


def _embeddings_message(embeddings: NDArray[np.float32]) -> tensor_pb2.Tensor | None:
    return to_tensor(embeddings) if embeddings.size else None


def _embeddings_of(message: Any) -> NDArray[np.float32]:
    if not message.HasField("audio_embeddings"):
        return np.zeros((0, 0), dtype=np.float32)
    embeddings = from_tensor(message.audio_embeddings)
    if embeddings.ndim != 2 or not embeddings.size or embeddings.dtype == np.int16:
        shown = f"{embeddings.dtype} {list(embeddings.shape)}"
        raise InvalidInputError(
            f"audio_embeddings is {shown}; wanted (A, W) of floats", reason="INVALID_TENSOR"
        )
    return embeddings.astype(np.float32, copy=False)


def _sampling_message(sampling: SamplingParams) -> wire.SamplingParams:
    message = wire.SamplingParams(banned_token_ids=sampling.ban_token_ids)
    fill_sampling(message, sampling)
    return message


def _sampling_of(message: wire.SamplingParams) -> SamplingParams:
    return replace(sampling_of(message), ban_token_ids=tuple(message.banned_token_ids))


def _end_message(delta: TextDelta, ending: Ending) -> wire.GenerateEnd:
    return wire.GenerateEnd(
        ending=_ENDINGS[ending],
        phrases=map(_phrase_message, delta.phrases),
        usage=_usage_message(delta.usage or Usage()),
    )


def _phrase_message(phrase: Phrase) -> wire.Phrase:
    start, end = phrase.start_seconds, phrase.end_seconds
    return wire.Phrase(
        text=phrase.text,
        start_offset=None if start is None else duration_of(start),
        end_offset=None if end is None else duration_of(end),
    )


def _phrase_of(message: wire.Phrase) -> Phrase:
    return Phrase(
        message.text,
        _seconds(message.start_offset) if message.HasField("start_offset") else None,
        _seconds(message.end_offset) if message.HasField("end_offset") else None,
    )


def _logprobs_message(logprobs: Logprobs) -> wire.Logprobs:
    return wire.Logprobs(
        token=_token_message(logprobs.token), top=[_token_message(token) for token in logprobs.top]
    )


def _token_message(token: TokenLogprob) -> wire.TokenLogprob:
    return wire.TokenLogprob(text=token.text, logprob=token.logprob)


def _logprobs_of(message: wire.Logprobs) -> Logprobs:
    return Logprobs(_token_of(message.token), tuple(map(_token_of, message.top)))


def _token_of(message: wire.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(message.text, message.logprob)


def _usage_message(usage: Usage) -> wire.Usage:
    return wire.Usage(
        prompt_token_count=usage.prompt_tokens,
        generated_token_count=usage.generated_tokens,
        stage_durations=[
            call_pb2.StageDuration(stage=stage, duration=duration_of(seconds))
            for stage, seconds in usage.seconds.items()
        ],
    )


def _usage_of(message: wire.Usage) -> Usage:
    seconds = stage_seconds(message.stage_durations)
    return Usage(message.prompt_token_count, message.generated_token_count, seconds)


def _seconds(duration: Duration) -> float:
    return float(duration.ToNanoseconds()) / _NANOSECONDS
