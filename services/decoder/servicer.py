"""DecoderService: instructions to prompts, ids to text; the engine behind Triton does the rest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Protocol
from uuid import uuid4

from eureka.clients.decoder_wire import (
    card_message,
    delta_message,
    generate_request_of,
    score_request_of,
    scores_message,
)
from eureka.clients.instruction_check import check_text_length
from eureka.clients.stages import set_end
from eureka.engine.request import Delta, Label, LabelScores, Request, check_sampling
from eureka.errors import CancelledError, EurekaError, InvalidInputError, PromptTooLongError
from eureka.runtime.calls import current_call, current_span
from eureka.runtime.metrics import Metrics
from eureka.stage.v1 import decoder_service_pb2 as wire
from eureka.stage.v1 import decoder_service_pb2_grpc
from eureka.text.answers import AnswerWriter, instruction_prompt, label_ids
from eureka.types import Ending, TextDelta, TextRequest
from services.decoder.checkpoint import TextCheckpoint

MAX_LABELS = 256
"""Labels of one closed set."""


class DecoderModel(Protocol):
    """What the decoder service asks of Triton."""

    def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of an answer; closing the iterator cancels it."""

    async def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        """Log-probabilities of a closed set."""


class DecoderServicer(decoder_service_pb2_grpc.DecoderServiceServicer):
    """Lays out what comes in, asks Triton, writes text.

    Args:
        model: Triton.
        checkpoint: tokenizer, layouts and card.
        metrics: of the component.
    """

    def __init__(self, model: DecoderModel, checkpoint: TextCheckpoint, metrics: Metrics) -> None:
        self._model = model
        self._checkpoint = checkpoint
        self._metrics = metrics

    async def Generate(
        self, request: wire.GenerateRequest, context: object
    ) -> AsyncIterator[wire.GenerateResponse]:
        """Text of one answer, as it comes from the engine."""
        asked = generate_request_of(request, current_call().deadline)
        check_sampling(asked.sampling)
        writer = AnswerWriter(self._checkpoint.tokenizer, asked.sampling.stop)
        last = perf_counter()
        # Whatever ends this call, a caller that goes away too, closes the stream and so frees the slot.
        async with aclosing(self._model.generate(self._engine_request(asked))) as deltas:
            async for delta in deltas:
                written = writer.write(delta.token_ids, delta.logprobs, delta.ending, delta.usage)
                _raise_unless_answered(written.ending)
                last = self._record(written, last)
                yield delta_message(written)

    async def Score(self, request: wire.ScoreRequest, context: object) -> wire.ScoreResponse:
        """How well each label answers."""
        asked = score_request_of(request, current_call().deadline)
        labels = self._labels(request.labels)
        scores = await self._model.score(self._engine_request(asked), labels)
        self._metrics.record_usage(prompt_tokens=scores.usage.prompt_tokens)
        current_span().set(prompt_tokens=scores.usage.prompt_tokens)
        return scores_message(scores)

    async def Describe(self, request: wire.DescribeRequest, context: object) -> wire.DescribeResponse:
        """The checkpoint that is served."""
        return card_message(self._checkpoint.card)

    def _engine_request(self, asked: TextRequest) -> Request:
        embeddings = asked.audio_embeddings
        _check_length(asked, self._checkpoint.card.context_tokens)
        prompt = instruction_prompt(self._checkpoint.prompts, asked.instruction, len(embeddings))
        return Request(
            request_id=f"{current_call().request_id[:64]}-{uuid4().hex[:8]}",  # windows of a call differ
            prompt_ids=prompt.prompt_ids,
            token_type_ids=prompt.token_type_ids,
            audio_embeddings=embeddings,
            sampling=asked.sampling,
            deadline=asked.deadline,
            priority=asked.priority,
        )

    def _labels(self, names: Sequence[str]) -> list[Label]:
        if len(names) > MAX_LABELS:
            message = f"{len(names)} labels in one closed set, at most {MAX_LABELS}"
            raise InvalidInputError(message, reason="TOO_MANY_LABELS")
        if len(set(names)) < len(names):
            raise InvalidInputError("labels must differ", reason="REPEATED_LABEL")
        labels = [Label(name, label_ids(self._checkpoint.tokenizer, name)) for name in names]
        if not labels or not all(label.token_ids for label in labels):
            raise InvalidInputError("labels must be one or more words", reason="NO_LABELS")
        return labels

    def _record(self, delta: TextDelta, last: float) -> float:
        """Count the tokens of a delta that came after `last`; the time now."""
        now = perf_counter()
        self._metrics.record_output_tokens(len(delta.token_ids), now - last)
        if delta.usage is not None:
            usage = delta.usage
            self._metrics.record_usage(
                prompt_tokens=usage.prompt_tokens, generated_tokens=usage.generated_tokens
            )
            set_end(current_span(), delta)
        return now


def _raise_unless_answered(ending: Ending | None) -> None:
    if ending is Ending.DEADLINE:
        raise CancelledError("the deadline has passed", reason="DEADLINE_EXCEEDED")
    if ending is Ending.CANCELLED:
        raise CancelledError("the engine cancelled the answer")
    if ending is Ending.ERROR:
        raise EurekaError("the model failed on this request", reason="GENERATION_FAILED")


def _check_length(asked: TextRequest, context_tokens: int) -> None:
    """Refuse what cannot fit before time and memory are spent on it; the engine counts exactly."""
    check_text_length(asked.instruction, context_tokens)
    num_rows = len(asked.audio_embeddings)
    if num_rows >= context_tokens:
        message = f"{num_rows:,} audio tokens do not fit a context of {context_tokens:,} tokens"
        raise PromptTooLongError(message)
