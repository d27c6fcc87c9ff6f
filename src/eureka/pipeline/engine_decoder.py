"""TextDecoder over an engine of this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from uuid import uuid4

from eureka.engine.engine import Engine
from eureka.engine.request import Label, LabelScores, Request, check_sampling
from eureka.text.answers import AnswerWriter, check_instruction, instruction_prompt, label_ids
from eureka.text.constraints import ConstraintCompiler
from eureka.text.prompts import PromptBuilder
from eureka.text.stop import StopStrings
from eureka.text.tokenizer import Tokenizer
from eureka.types import Instruction, TextDelta, TextRequest


class EngineDecoder:
    """Submits to `engine`; each caller takes the steps itself unless a runner drives them.

    Args:
        engine: of the checkpoint.
        tokenizer: of the checkpoint.
        prompts: of the checkpoint.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, prompts: PromptBuilder) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._constraints = ConstraintCompiler(tokenizer)
        self._prefix = uuid4().hex[:12]
        self._numbers = count()

    def check(self, instruction: Instruction) -> None:
        """Refuse an instruction that the checkpoint cannot lay out.

        Raises:
            InvalidInputError: an unknown language or role, a blank question, no turn.
        """
        check_instruction(self._prompts, instruction)

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        """Deltas of one answer; a caller that stops listening cancels it.

        Raises: as `Engine.submit`; InvalidInputError for an instruction that cannot be laid out.
        """
        check_sampling(request.sampling)  # before its strings are used
        stop, constraint = request.sampling.stop, request.sampling.constraint
        writer = AnswerWriter(self._tokenizer, stop)
        asked = replace(
            self._engine_request(request),
            stop=StopStrings(self._tokenizer, stop) if stop else None,
            constraint=self._constraints.compile(constraint) if constraint else None,
        )
        handle = self._engine.submit(asked)
        try:
            for delta in handle:
                yield writer.write(delta.token_ids, delta.logprobs, delta.ending, delta.usage)
        finally:
            handle.cancel()

    def score(self, request: TextRequest, labels: Sequence[str]) -> LabelScores:
        """Scores of a closed set of answers; underscores in labels are read as spaces.

        Raises: as `Engine.score`; InvalidInputError for an instruction that cannot be laid out.
        """
        candidates = [Label(label, label_ids(self._tokenizer, label)) for label in labels]
        return self._engine.score(self._engine_request(request), candidates)

    def _engine_request(self, request: TextRequest) -> Request:
        embeddings = request.audio_embeddings
        prompt = instruction_prompt(self._prompts, request.instruction, len(embeddings))
        return Request(
            request_id=f"{self._prefix}-{next(self._numbers)}",
            prompt_ids=prompt.prompt_ids,
            token_type_ids=prompt.token_type_ids,
            audio_embeddings=embeddings,
            sampling=request.sampling,
            deadline=request.deadline,
            priority=request.priority,
        )
