"""The decoder's side of the seam that speaks text: instructions to prompts, ids to text deltas.

Pure and without IO, so that a decoder in this process and an asyncio service use the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eureka.errors import InvalidInputError
from eureka.text.detokenizer import IncrementalDetokenizer
from eureka.text.phrases import answer_phrases, collapse_loop
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.text.turns import check_turn
from eureka.types import (
    AudioPart,
    Ending,
    Instruction,
    Logprobs,
    Phrase,
    Task,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    Usage,
)

_UNFINISHED = (Ending.LENGTH, Ending.REPETITION)
"""Endings of answers that may close with a loop."""


class AnswerWriter:
    """Writes the text deltas of one answer.

    The joined text is that of the phrases, but for a loop at the end of an answer that did not stop by
    itself, which the phrases say once: what has been streamed cannot be taken back.

    Args:
        tokenizer: of the checkpoint.
        stop: strings before the first of which the text ends.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._detokenizer = IncrementalDetokenizer(tokenizer, stop)
        self._ids: list[int] = []

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was met; an engine that does not know by itself can be cancelled."""
        return self._detokenizer.is_stopped

    def write(
        self,
        token_ids: Sequence[int],
        logprobs: Sequence[TokenLogprobs] = (),
        ending: Ending | None = None,
        usage: Usage | None = None,
    ) -> TextDelta:
        """The delta of new tokens; with an ending it is the last.

        Tokens behind the one that met a stop string are left out, and the answer then ends with STOP
        whatever `ending` says: it was complete.

        Args:
            token_ids: new tokens.
            logprobs: one entry a new token, or none.
            ending: of the whole answer, with the last tokens.
            usage: of the whole answer, with the last tokens.
        """
        first = len(self._ids)
        text = "".join(self._push(token_id) for token_id in token_ids)
        new = tuple(self._ids[first:])
        delta = TextDelta(text, new, tuple(self._named(each) for each in logprobs[: len(new)]))
        return delta if ending is None else self._finish(delta, ending, usage)

    def _push(self, token_id: int) -> str:
        if self.is_stopped:
            return ""
        self._ids.append(token_id)
        return self._detokenizer.push([token_id])

    def _finish(self, delta: TextDelta, ending: Ending, usage: Usage | None) -> TextDelta:
        ending = Ending.STOP if self.is_stopped else ending
        text = delta.text + self._detokenizer.flush()
        return replace(delta, text=text, ending=ending, phrases=self._phrases(ending), usage=usage or Usage())

    def _phrases(self, ending: Ending) -> tuple[Phrase, ...]:
        ids = collapse_loop(self._ids) if ending in _UNFINISHED else self._ids
        return answer_phrases(ids, self._tokenizer, self._stop)

    def _named(self, logprobs: TokenLogprobs) -> Logprobs:
        top = zip(logprobs.top_ids, logprobs.top_logprobs, strict=True)
        return Logprobs(
            self._named_token(logprobs.token_id, logprobs.logprob),
            tuple(self._named_token(token_id, logprob) for token_id, logprob in top),
        )

    def _named_token(self, token_id: int, logprob: float) -> TokenLogprob:
        """Special tokens spell nothing; bytes that are no UTF-8 by themselves come out as U+FFFD."""
        text = self._tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")
        return TokenLogprob(text, logprob)


def instruction_prompt(prompts: PromptBuilder, instruction: Instruction, num_rows: int) -> Prompt:
    """Prompt of an instruction over `num_rows` rows of audio embeddings.

    In transcribe, caption and classify all rows are one item; in ask the audio parts divide them.

    Raises:
        InvalidInputError: an unknown language or role, a turn that says nothing, no rows where the layout
            needs audio, or audio parts that do not sum to the rows.
    """
    if instruction.task is Task.TRANSCRIBE:
        return prompts.transcribe(num_rows, instruction.language)
    if instruction.task is Task.CAPTION:
        return prompts.caption(num_rows)
    if instruction.task is Task.CLASSIFY:
        return prompts.classify(num_rows)
    for turn in instruction.turns:
        check_turn(turn)
    counted = _num_audio_tokens(instruction)
    if counted != num_rows:
        raise InvalidInputError(
            f"the audio parts of the conversation take {counted} rows, audio_embeddings holds {num_rows}"
        )
    return prompts.build(instruction.turns)


def check_instruction(prompts: PromptBuilder, instruction: Instruction) -> None:
    """Refuse an instruction that cannot be laid out, whatever its audio.

    Raises: as `instruction_prompt`.
    """
    is_conversation = instruction.task is Task.ASK
    instruction_prompt(prompts, instruction, _num_audio_tokens(instruction) if is_conversation else 1)


def label_ids(tokenizer: Tokenizer, label: str) -> tuple[int, ...]:
    """Ids of a label as its words: underscores are read as spaces."""
    return tokenizer.encode_plain(" ".join(label.replace("_", " ").split()))


def _num_audio_tokens(instruction: Instruction) -> int:
    parts = (part for turn in instruction.turns for part in turn.parts)
    return sum(part.num_audio_tokens for part in parts if isinstance(part, AudioPart))
